"""What an installation promises: metadata, files carried, tools pinned."""

import configparser
import importlib
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest
import yaml

import mmanchor
from mmanchor.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(mmanchor.__file__).parent


@pytest.fixture(scope='module')
def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / 'setup.cfg')
    return parser


def lines(text):
    return [
        line.strip()
        for line in text.splitlines()
        if line.strip() and not line.strip().startswith('#')
    ]


def name_of(requirement):
    return re.match(r'[\w.-]+', requirement).group().lower().replace('_', '-')


def pins(name):
    """Versions that the constraints give a distribution, per marker."""
    found = lines((ROOT / 'constraints' / 'openmmlab.txt').read_text())
    return [
        line.partition(';')[0].strip().partition('==')[2] for line in found if name_of(line) == name
    ]


def test_hard_requirements_hold_no_openmmlab_package(setup_cfg):
    names = map(name_of, lines(setup_cfg['options']['install_requires']))
    assert not [name for name in names if re.match('(onedl-)?mm', name)]


def test_the_two_stacks_are_separate_extras(setup_cfg):
    extras = setup_cfg['options.extras_require']
    openmmlab = set(map(name_of, lines(extras['openmmlab'])))
    onedl = set(map(name_of, lines(extras['onedl'])))
    assert {'mmengine', 'mmcv-lite', 'mmdet'} <= openmmlab
    assert {'onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection'} <= onedl
    assert not {name for name in openmmlab & onedl if 'mm' in name}


@pytest.mark.parametrize('extra', ['openmmlab', 'dev', 'docs', 'test'])
def test_constraints_pin_every_requirement(setup_cfg, extra):
    required = lines(setup_cfg['options']['install_requires'])
    required += lines(setup_cfg['options.extras_require'][extra])
    assert not [name for name in map(name_of, required) if not pins(name)]


def test_constraints_are_exact_and_cover_every_python():
    text = (ROOT / 'constraints' / 'openmmlab.txt').read_text()
    for line in lines(text):
        assert re.fullmatch(r'[\w.-]+==[\w.]+(; python_version (<|>=) "3\.11")?', line), line
    # One of several versions without a marker would contradict the others.
    for name in {name_of(line) for line in lines(text)}:
        ours = [line for line in lines(text) if name_of(line) == name]
        assert len(ours) == 1 or (len(ours) == 2 and '<' in ours[0] and '>=' in ours[1]), ours


def test_pre_commit_pins_the_versions_of_the_constraints():
    config = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())
    hooks = [hook for repo in config['repos'] for hook in repo['hooks']]
    pinned = {
        tuple(dependency.split('=='))
        for hook in hooks
        for dependency in hook['additional_dependencies']
    }
    assert 'ruff' in {name for name, _ in pinned}
    for name, version in pinned:
        assert pins(name) == [version]


def test_changelog_begins_with_this_version():
    headings = re.findall(r'^## (\S+)', (ROOT / 'CHANGELOG.md').read_text(), re.MULTILINE)
    assert headings[0] == mmanchor.__version__


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == mmanchor.__version__


@pytest.mark.parametrize('name', ['configs', 'tools', 'model-index.yml'])
def test_the_package_carries_the_files_of_the_repository(name):
    assert (PACKAGE / '.mim' / name).resolve() == ROOT / name


def test_model_index_lists_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    metafiles = (ROOT / 'configs').glob('*/metafile.yml')
    assert index['Import'] == sorted(path.relative_to(ROOT).as_posix() for path in metafiles)


@pytest.mark.parametrize(
    'name',
    [
        module.name
        for module in pkgutil.walk_packages(mmanchor.__path__, 'mmanchor.')
        if not module.name.endswith('main__')
    ],
)
def test_module_imports(name):
    importlib.import_module(name)


def test_every_command_has_its_module():
    modules = {
        module.name.removeprefix('mmanchor.cli.')
        for module in pkgutil.walk_packages(
            importlib.import_module('mmanchor.cli').__path__, 'mmanchor.cli.'
        )
    }
    assert set(COMMANDS.values()) <= modules


def test_every_package_folder_has_an_init_file():
    folders = {path.parent for path in PACKAGE.rglob('*.py') if '.mim' not in path.parts}
    assert not [path for path in folders if not (path / '__init__.py').is_file()]


def test_make_lists_its_targets():
    shown = subprocess.run(
        ['make', '--no-print-directory'], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for target in ('demo', 'test', 'test-onedl', 'doctor', 'lint'):
        assert re.search(rf'^  {target} ', shown, re.MULTILINE)
