"""CONTRIBUTING.md says what belongs into every folder."""

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
