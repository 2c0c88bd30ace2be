"""The order of the house: imports point one way, files and folders stay small."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import mmanchor

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(mmanchor.__file__).parent

# A package may import itself, packages of the lines above, and nothing else.
LAYERS = (
    ('utils', 'ops'),
    ('compat', 'runtime'),
    ('registry',),
    ('models', 'datasets'),
    ('engine',),
    ('anchorization', 'analysis', 'data_check', 'visualization'),
    ('converters', 'inference'),
    ('explanation', 'export', 'reports'),
    ('apis',),
    ('demo', 'web'),
    ('cli',),
)
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}
# What an import of the bare package stands for: its version.
EVERYWHERE = {'__version__'}
SOURCES = sorted(path for path in PACKAGE.rglob('*.py') if '.mim' not in path.parts)
CODE = [
    *SOURCES,
    *(path for folder in ('tests', 'tools') for path in sorted((ROOT / folder).rglob('*.py'))),
]


def part_of(path: Path) -> str:
    """The package below mmanchor that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix('.py')


def imported_parts(path: Path) -> set[str]:
    """Packages below mmanchor that a file imports anywhere in it."""
    module = ('mmanchor', *path.relative_to(PACKAGE).with_suffix('').parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name.split('.') for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(module[: len(module) - node.level]) if node.level else []
            base += node.module.split('.') if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        else:
            continue
        found |= {name[1] for name in names if name[0] == 'mmanchor' and len(name) > 1}
    return found - EVERYWHERE


def test_every_package_has_its_place():
    assert {part_of(path) for path in SOURCES} - {'__init__', '__main__'} == set(LEVELS)


@pytest.mark.parametrize('part', LEVELS)
def test_imports_point_one_way(part):
    wrong = [
        f'{path.relative_to(ROOT)} imports mmanchor.{other}'
        for path in SOURCES
        if part_of(path) == part
        for other in sorted(imported_parts(path))
        if other != part and LEVELS.get(other, -1) >= LEVELS[part]
    ]
    assert not wrong


def test_files_are_short():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in CODE
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long


def test_folders_hold_few_files():
    folders = defaultdict(list)
    for path in SOURCES:
        if path.name != '__init__.py':
            folders[str(path.parent.relative_to(ROOT))].append(path.name)
    assert not {name: len(files) for name, files in folders.items() if len(files) > 16}
