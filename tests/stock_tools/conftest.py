"""Fresh Python processes in which nothing of ours is imported first."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fresh_python import run_python

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with which Python reads the .pth file of the hook."""
    folder = tmp_path_factory.mktemp('site')
    lines = f'import site\nsite.addsitedir({str(ROOT / "hook")!r})\n'
    (folder / 'sitecustomize.py').write_text(lines)
    return folder


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run Python in ``tmp_path``, with the hook, mmanchor being importable."""

    def run(*words: object, **environment: str) -> subprocess.CompletedProcess:
        return run_python(words, tmp_path, [site, ROOT], **environment)

    return run
