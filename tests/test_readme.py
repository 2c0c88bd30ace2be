"""The README's Python runs, and what it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
BLOCKS = re.findall(r'```python\n(.+?)```', README, re.S)


def test_code_comes_early():
    assert '```' in '\n'.join(README.splitlines()[:25])


@pytest.mark.parametrize('code', BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_run(code, monkeypatch):
    monkeypatch.chdir(ROOT)
    names = {}
    exec(compile(code, 'README.md', 'exec'), names)
    if 'maps' in names:
        assert [tuple(x.shape) for x in names['maps']] == [(1, 384, 32, 32)] * 4


def test_links_lead_somewhere():
    links = re.findall(r'\]\((?!https?:)([^)#]+)\)', README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_commands_exist():
    from mmanchor.cli.main import COMMANDS

    code = re.findall(r'```shell\n(.+?)```|`(mmanchor [^`]+)`', README, re.S)
    words = '\n'.join(''.join(pair).split('#')[0] for pair in code)
    named = set(re.findall(r'(?m)^mmanchor ([a-z-]+)', words))
    assert {'train', 'predict', 'complexity'} & named
    assert named <= set(COMMANDS)
