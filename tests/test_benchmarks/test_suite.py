"""The suite of benchmarks, and the results that the documentation shows."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from mmanchor.cli.main import main
from mmanchor.cli.measuring.benchmark import INSTALLED, OF_THE_CHECKOUT
from mmanchor.utils.config import find_config
from mmanchor.utils.errors import UserError
from mmanchor.utils.files import read_json, write_json
from tools.benchmarks.suite import HUGE_PAGES, SUITE, result_file, run_suite
from tools.benchmarks.tables import tables

DOCS = Path(__file__).resolve().parents[2] / 'docs'


@pytest.fixture
def ran(monkeypatch):
    """Words after `mmanchor benchmark` of what ran, instead of running it."""
    words = []

    def fake(command, env, **kwargs):
        words.append((shlex.join(command[4:-2]), env.get('THP_MEM_ALLOC_ENABLE')))
        write_json(Path(command[-1], f'{command[4]}.json'), {})
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.delenv('THP_MEM_ALLOC_ENABLE', raising=False)
    monkeypatch.setattr(subprocess, 'run', fake)
    return words


def test_what_has_results_is_not_run_again(tmp_path, ran):
    write_json(result_file(tmp_path, 'trunk'), {})
    written = run_suite(tmp_path)
    assert [words for words, _ in ran] == [SUITE[name] for name in SUITE if name != 'trunk']
    assert len(written) == len(SUITE) - 1 and all(path.is_file() for path in written)
    assert run_suite(tmp_path) == []
    assert len(run_suite(tmp_path, again=True)) == len(SUITE)


def test_huge_pages_are_set_for_one_benchmark_only(tmp_path, ran):
    run_suite(tmp_path)
    names = [name for name, (_, setting) in zip(SUITE, ran, strict=True) if setting]
    assert names == ['huge-pages'] and HUGE_PAGES == {'THP_MEM_ALLOC_ENABLE': '1'}


def test_the_command_names_the_files(tmp_path, ran, capsys):
    words = ['benchmark', 'all', '--out-dir', str(tmp_path / 'numbers')]
    assert main(words) == 0
    assert f'written to {tmp_path}/numbers/large/large.json' in capsys.readouterr().out
    assert main(words) == 0
    assert '--again runs them again' in capsys.readouterr().out


def test_a_benchmark_that_fails_stops_the_suite(tmp_path, monkeypatch):
    monkeypatch.setattr(
        subprocess, 'run', lambda command, **kwargs: subprocess.CompletedProcess(command, 1)
    )
    with pytest.raises(UserError, match=r'benchmark scaling .* error'):
        run_suite(tmp_path)


def test_the_suite_names_commands_and_configs_that_exist():
    for words in map(shlex.split, SUITE.values()):
        assert words[0] in {*INSTALLED, *OF_THE_CHECKOUT}
        if words[0] == 'latency':
            options = next(i for i, word in enumerate(words) if word.startswith('--'))
            for name in words[1:options]:
                assert find_config(name).is_file()


@pytest.mark.parametrize('name', SUITE)
def test_results_in_the_documentation_are_of_the_suite(name):
    about = read_json(result_file(DOCS / 'benchmarks', name))['measured']
    assert SUITE[name] in about['command']
    assert re.fullmatch('[0-9a-f]{7,}', about['commit'])  # no uncommitted changes


@pytest.mark.parametrize('path, text', [(p.relative_to(DOCS), t) for p, t in tables(DOCS)], ids=str)
def test_tables_in_the_documentation_have_the_numbers_of_the_results(path, text):
    """After a change of results or of wording: python -m tools.benchmarks.tables."""

    def cells(markdown):
        return [line for line in markdown.splitlines() if line.startswith('|')]

    assert cells((DOCS / path).read_text(encoding='utf-8')) == cells(text)


@pytest.mark.parametrize('page', ['benchmarks.md', 'paper_tables.md', 'ablation.md'])
def test_pages_include_files_that_exist(page):
    text = (DOCS / page).read_text(encoding='utf-8')
    found = re.findall(r'^```\{include\} (\S+)$|\]\(((?!http)[^)#]+\.(?:png|md))', text, re.M)
    assert found
    for names in found:
        assert (DOCS / ''.join(names)).is_file()


def test_the_pages_include_every_benchmark_of_the_suite():
    pages = ('benchmarks.md', 'paper_tables.md')
    text = ''.join((DOCS / page).read_text(encoding='utf-8') for page in pages)
    for name in SUITE:
        table = result_file(Path('benchmarks'), name).with_suffix('.md')
        assert f'```{{include}} {table}\n' in text
