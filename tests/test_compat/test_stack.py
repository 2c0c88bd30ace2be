"""The installed stack is recognised, and what is wrong with it said."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmanchor.compat import stack

ROOT = Path(__file__).parents[2]
GOOD = {
    'mmengine': '0.10.7',
    'mmcv-lite': '2.1.0',
    'mmdet': '3.3.0',
    'mmsegmentation': '1.2.2',
    'mmpretrain': '1.2.0',
    'torch': '2.11.0+cpu',
    'torchvision': '0.26.0',
}
GOOD_ONEDL = {
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmdetection': '3.5.1',
    'torch': '2.4.0',
    'torchvision': '0.19.0',
}


@pytest.fixture
def installed(monkeypatch):
    """Give the distributions that seem installed, as a dict."""

    def pretend(versions):
        monkeypatch.setattr(stack, 'distribution_version', versions.get)
        monkeypatch.setattr(stack, 'source_version', lambda module: None)
        return stack.find_problems(stack.find_stack())

    return pretend


@pytest.mark.parametrize(
    'versions, name',
    [(GOOD, 'openmmlab'), (GOOD_ONEDL, 'onedl'), ({**GOOD, **GOOD_ONEDL}, 'mixed'), ({}, 'none')],
)
def test_stack_has_the_name_of_its_distributions(installed, versions, name):
    installed(versions)
    assert stack.find_stack().name == name


@pytest.mark.parametrize('versions', [GOOD, GOOD_ONEDL])
def test_supported_stack_has_no_problem(installed, versions):
    assert installed(versions) == []


def test_toolboxes_are_optional(installed):
    for name in ('mmdet', 'mmsegmentation', 'mmpretrain'):
        assert installed({k: v for k, v in GOOD.items() if k != name}) == []


@pytest.mark.parametrize(
    'change, words',
    [
        ({'mmcv-lite': None, 'mmcv': '1.7.2'}, 'mmcv>=2.1,<2.2 and found 1.7.2'),
        ({'mmcv-lite': None, 'mmcv': '2.2.0'}, 'mmcv>=2.1,<2.2 and found 2.2.0'),
        ({'mmcv-lite': None}, 'mmcv>=2.1,<2.2 and it is missing'),
        ({'mmengine': '0.9.0'}, 'mmengine>=0.10.7,<0.11 and found 0.9.0'),
        ({'mmdet': '2.28.0'}, 'mmdet>=3.3,<3.4 and found 2.28.0'),
        ({'mmsegmentation': '0.30.0'}, 'mmsegmentation>=1.2.2'),
        ({'torch': '2.3.1'}, 'torch>=2.4 and found 2.3.1'),
        ({'torchvision': None}, 'torchvision>=0.19 and it is missing'),
        ({'onedl-mmcv': '2.3.6'}, 'two OpenMMLab stacks'),
    ],
)
def test_problem_is_one_line_with_its_cure(installed, change, words):
    problems = installed({**GOOD, **change})
    assert len(problems) == 1 and '\n' not in problems[0]
    assert words in problems[0]
    assert 'pip install' in problems[0] or 'new environment' in problems[0]


def test_clone_on_the_path_counts_as_openmmlab(monkeypatch):
    monkeypatch.setattr(stack, 'distribution_version', {}.get)
    monkeypatch.setattr(stack, 'source_version', {'mmcv': '2.1.0'}.get)
    found = stack.find_stack()
    assert (found.name, found.versions) == ('openmmlab', {'mmcv': '2.1.0'})


def test_source_version_reads_the_version_file(tmp_path, monkeypatch):
    package = tmp_path / 'cloned_package'
    package.mkdir()
    (package / '__init__.py').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    assert stack.source_version('cloned_package') == '0'
    (package / 'version.py').write_text("__version__ = '2.1.0'\n")
    assert stack.source_version('cloned_package') == '2.1.0'
    assert stack.source_version('no_such_package') is None


@pytest.mark.smoke
def test_this_environment_is_supported():
    assert stack.find_problems(stack.find_stack()) == []


def test_ranges_are_those_of_setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg')
    extras = config['options.extras_require']
    for family, ranges in stack.SUPPORTED.items():
        for module, allowed in ranges.items():
            names = stack.PROVIDERS[family][module]
            assert f'{names[0]}{allowed}' in extras[family].split()
    required = config['options']['install_requires'].split()
    for name, allowed in stack.TORCH.items():
        assert f'{name}{allowed}' in required


PRETEND = """
import importlib.metadata as metadata
import importlib.util as util
import sys
versions = {versions!r}
real = metadata.version
find_spec = util.find_spec

def version(name):
    if name in versions:
        return versions[name]
    raise metadata.PackageNotFoundError(name)

metadata.version = version
util.find_spec = lambda name, package=None: None if name in (
    'mmengine', 'mmcv') else find_spec(name, package)
sys.argv = {argv!r}
"""


def run_with(versions, code, argv=('x.py',)):
    return subprocess.run(
        [sys.executable, '-c', PRETEND.format(versions=versions, argv=list(argv)) + code],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


BROKEN = [
    ({}, r'pip install "mmanchor\[openmmlab\]"'),
    ({**GOOD, 'mmcv-lite': '1.7.2'}, r'mmcv-lite>=2.1,<2.2 and found 1.7.2'),
]


@pytest.mark.parametrize('code', ['mmanchor.registry', 'mmanchor.models', 'mmanchor.apis'])
@pytest.mark.parametrize('versions, words', BROKEN)
def test_what_needs_the_stack_says_in_one_line_what_to_install(versions, words, code):
    result = run_with(versions, f'import mmanchor\nprint(1)\nimport {code}')
    assert (result.returncode, result.stdout) == (1, '1\n')
    *_, last = result.stderr.strip().splitlines()
    assert last.startswith('mmanchor.compat.stack.StackError: ') and re.search(words, last)


@pytest.mark.parametrize('versions, words', BROKEN)
def test_command_shows_the_line_alone(versions, words):
    code = "from mmanchor.cli.main import main; sys.exit(main(['train', 'a.py']))"
    result = run_with(versions, code)
    assert result.returncode == 1
    assert re.match(f'mmanchor train: mmanchor needs.*{words}' if versions else
                    f'mmanchor train: .*{words}', result.stderr)  # fmt: skip
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize('words', [['--help'], ['--version'], ['train', '--help']])
@pytest.mark.parametrize('name', ['x.py', '/bin/mmanchor'])
def test_help_starts_without_a_stack(words, name):
    code = f'from mmanchor.cli.main import main; sys.exit(main({words}))'
    result = run_with({}, code, [name, 'train'])
    assert (result.returncode, result.stderr) == (0, '')


def test_importing_mmanchor_imports_neither_torch_nor_mmengine():
    result = subprocess.run(
        [
            sys.executable,
            '-c',
            'import sys, mmanchor\nprint({"torch", "mmengine", "mmcv"} & set(sys.modules))',
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.stdout.strip() == 'set()', result.stderr
