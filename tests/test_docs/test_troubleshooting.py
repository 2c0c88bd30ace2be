"""The page of error messages quotes messages that exist."""

import ast
import re
from pathlib import Path

import pytest

import mmanchor

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs' / 'troubleshooting.md').read_text()
# A heading that quotes a message, and after it the package that it comes from, if not ours.
QUOTED = re.findall(r'^### `(.+?)`( \(\w+\))?$', PAGE, re.M)
OURS = [text for text, package in QUOTED if not package]
CODES = re.findall(r'`(\w+)`', '\n'.join(re.findall(r'^\| (`.+?) \|', PAGE, re.M)))


def text_of(node):
    """The text of a string literal, with an ellipsis where a value is put in."""
    if isinstance(node, ast.JoinedStr):
        return ''.join(text_of(part) for part in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return '…'


@pytest.fixture(scope='module')
def texts():
    found = []
    for path in Path(mmanchor.__file__).parent.rglob('*.py'):
        if '.mim' not in path.parts:
            nodes = ast.walk(ast.parse(path.read_text()))
            found += [
                text_of(node) for node in nodes if isinstance(node, ast.JoinedStr | ast.Constant)
            ]
    return re.sub('…+', '…', '\n'.join(found))


@pytest.mark.parametrize('quoted', OURS)
def test_quoted_message_exists(quoted, texts):
    assert quoted in texts


@pytest.mark.parametrize('code', CODES)
def test_code_of_check_data_exists(code, texts):
    assert re.search(rf'^{code}$', texts, re.M)


def test_there_are_messages():
    assert len(OURS) > 20 and len(CODES) > 10
