"""Plain and editable installations have the hook, and take it along again."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from fresh_python import run_python

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
FILES = ('_mmanchor_hook.py', 'mmanchor_hook.pth')


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks and of what it would, to build from."""
    folder = tmp_path_factory.mktemp('source')
    command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard', '-z']
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split('\0')):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def pip(python: Path, *words: str) -> None:
    """Run pip for another interpreter, which sees no checkout by PYTHONPATH."""
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    command = [sys.executable, '-m', 'pip', '--python', python, '--quiet', *words]
    subprocess.run(command, check=True, env=environment)


@pytest.mark.parametrize('options', [[], ['--editable']])
def test_stock_imports_work_after_an_installation(source, tmp_path, options):
    venv.create(tmp_path / 'scratch', with_pip=False, symlinks=True)
    python = tmp_path / 'scratch' / 'bin' / 'python'
    purelib = Path(sysconfig.get_path('purelib'))
    site = tmp_path / 'scratch' / purelib.relative_to(sys.prefix)
    # This environment's packages without the path files of its installations.
    (site / 'packages.pth').write_text(f'{purelib}\n')
    flags = ['--no-deps', '--no-index', '--no-build-isolation', '--ignore-installed']
    pip(python, 'install', *flags, *options, str(source))
    assert all((site / name).is_file() for name in FILES)
    code = 'import mmcv.ops, mmanchor; print(mmanchor.__file__)'
    place = run_python(['-c', code], tmp_path, python=str(python)).stdout
    assert Path(place.strip()).is_relative_to(source if options else site)
    pip(python, 'uninstall', '--yes', 'mmanchor')
    assert not any((site / name).exists() for name in FILES)
