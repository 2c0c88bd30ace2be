"""CONTRIBUTING.md names every package, and the model zoo every family of configs."""

import re
from pathlib import Path

import mmanchor

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / 'CONTRIBUTING.md').read_text()
NAMED = set(re.findall(r'`((?:mmanchor|tools)/[\w/.]+|configs|tests|docs)`', TEXT))


def test_every_package_is_named():
    package = Path(mmanchor.__file__).parent
    folders = {f'mmanchor/{path.parent.name}' for path in package.glob('*/__init__.py')}
    assert folders <= NAMED


def test_what_is_named_exists():
    example = 'mmanchor/models/layers/mean_attention.py'
    missing = [name for name in NAMED if name != example and not (ROOT / name).exists()]
    assert not missing


def test_the_model_zoo_shows_every_metafile():
    page = (ROOT / 'docs' / 'model_zoo.md').read_text()
    shown = set(re.findall(r'{model-zoo} (\w+)', page))
    assert shown == {path.parent.name for path in (ROOT / 'configs').glob('*/metafile.yml')}
