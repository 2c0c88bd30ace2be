"""The README is short, shows code early, and its links lead somewhere.

That its code runs is tested with the other pages, in ``test_docs/test_pages.py``.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_it_is_short():
    assert len(README.splitlines()) <= 150


def test_code_comes_early():
    assert '```' in '\n'.join(README.splitlines()[:25])


def test_links_lead_somewhere():
    links = re.findall(r'\]\((?!https?:)([^)#]+)\)', README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
