"""Every command and code block of the pages runs, or is marked as not run.

``<!-- skip: next "why" -->`` before a block marks it. Blocks of a page run in its order, in one
empty folder. A ``{code-block} python`` with a caption is a file that the reader writes: its
caption names it, and ``settings of NAME`` stands for lines to change in it. Commands of blocks
that are not run are parsed nevertheless.
"""

import re
import shlex
import subprocess
import sys
import traceback
from pathlib import Path
from unittest import SkipTest

import pytest
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from mmanchor.cli.main import COMMANDS, main, parser_of
from mmanchor.registry import MODELS

sybil = pytest.importorskip('sybil')
from sybil.evaluators.python import PythonEvaluator  # noqa: E402
from sybil.parsers.myst import CodeBlockParser, SkipParser  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').rglob('*.md'))]
PAGES = [page for page in PAGES if '_build' not in page.parts]
# Their commands are not run, as they want data and weights.
READMES = sorted((ROOT / 'configs').glob('*/README.md'))
FENCE = re.compile(r'^ *(`{3,}|:{3,})(.*)$', re.M)
# What a page may show without running it: output and layouts.
NOT_CODE = ('text', '')
run_source = PythonEvaluator()


def change_settings(path, settings):
    """Put assignments of one line in the place of those that a file has."""
    text = path.read_text()
    for line in settings.strip().splitlines():
        old = rf'^{line.partition(" = ")[0]} = .*$'
        assert re.search(old, text, re.M), f'{path} has no line {old}'
        text = re.sub(old, lambda _, line=line: line, text, count=1, flags=re.M)
    path.write_text(text)


def run_python(example):
    """Write a block with a caption as a file, and run any other."""
    options = example.region.lexemes.get('options') or {}
    if 'caption' in options:
        name = options['caption'].removeprefix('settings of ')
        write = Path.write_text if name == options['caption'] else change_settings
        write(Path(name), str(example.parsed))
        return None
    return run_source(example)


def commands(source):
    """The commands of a shell block: comments and line breaks after a backslash left out."""
    lines = source.replace('\\\n', ' ').splitlines()
    return [line for line in (re.sub(r'(^|\s)#.*', '', line).strip() for line in lines) if line]


def run_shell(example):
    """Run each command; those of mmanchor in this process, which has it imported already."""
    for line in commands(example.parsed):
        if line.startswith('mmanchor '):
            DefaultScope._instance_dict.clear()
            Visualizer._instance_dict.clear()
            assert main(shlex.split(line)[1:]) == 0, line
        else:
            subprocess.run(['bash', '-euc', line], check=True)


def parse(page):
    """The page with its blocks; each knows how to run."""
    parsers = (CodeBlockParser('python', run_python), CodeBlockParser('shell', run_shell))
    return sybil.Document.parse(str(page), *parsers, SkipParser())


def name_of(page):
    return page.relative_to(ROOT).with_suffix('').as_posix()


by_page = pytest.mark.parametrize('page', PAGES, ids=name_of)


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """An empty working folder; modules that a page writes there can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    written = {path.stem for path in tmp_path.glob('*.py')}
    for name, registered in list(MODELS.module_dict.items()):
        if registered.__module__ in written:
            del MODELS.module_dict[name]
    for name in written:
        sys.modules.pop(name, None)


@pytest.fixture
def no_workers(monkeypatch):
    """Load data in this process: workers take longer to start than such small data to load."""
    build = Runner.build_dataloader

    def build_without_workers(dataloader, *args, **kwargs):
        if isinstance(dataloader, dict):
            dataloader = {**dataloader, 'num_workers': 0, 'persistent_workers': False}
        return build(dataloader, *args, **kwargs)

    monkeypatch.setattr(Runner, 'build_dataloader', staticmethod(build_without_workers))


@pytest.mark.slow
@by_page
def test_blocks_run(page, empty_folder, no_workers, plain_configs):
    skipped = 0
    for example in parse(page):
        try:
            example.evaluate()
        except SkipTest as reason:
            assert str(reason), f'{page.name}:{example.line}: no reason is given'
            skipped += 1
        except Exception:
            where = f'{page.relative_to(ROOT)}:{example.line}'
            pytest.fail(f'{where}\n{traceback.format_exc(limit=-3)}', pytrace=False)
    marks = re.findall('^ *<!-- skip: next', page.read_text(), re.M)
    assert skipped == len(marks), 'a mark stands before no block'


@by_page
def test_blocks_are_of_languages_that_run(page):
    opened = None
    for mark, info in FENCE.findall(page.read_text()):
        if opened is None:
            opened = mark
            language = info.strip()
            if not language.startswith('{'):
                assert language in ('python', 'shell', *NOT_CODE), language
        elif mark.startswith(opened) and not info.strip():
            opened = None


@pytest.mark.parametrize('page', [*PAGES, *READMES], ids=name_of)
def test_commands_parse(page):
    for example in parse(page):
        if example.region.evaluator is not run_shell:
            continue
        for line in commands(example.parsed):
            if line.startswith('mmanchor ') and not line.startswith('mmanchor --'):
                words = shlex.split(line.partition(' > ')[0])
                assert words[1] in COMMANDS, line
                parser_of(words[1]).parse_args(words[2:])


@pytest.mark.parametrize('page', [*PAGES, *READMES], ids=name_of)
def test_commands_named_in_the_text_exist(page):
    named = re.findall(r'`mmanchor ([a-z-]+)', page.read_text())
    assert set(named) <= set(COMMANDS), set(named) - set(COMMANDS)
