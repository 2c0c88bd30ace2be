"""``mmanchor run`` and ``mmanchor publish`` as typed."""

import sys
from pathlib import Path

import pytest
import torch
from fresh_python import run_python

from mmanchor.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
import beside
loaded = 'mmanchor' in sys.modules
if __name__ == '__main__':
    print(sys.argv, loaded, beside.VALUE, __file__)
    sys.exit(int(sys.argv[-1]))
"""


@pytest.fixture
def script(tmp_path):
    """A script that imports what lies beside it, and ends with its last word."""
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools' / 'beside.py').write_text('VALUE = 7')
    (tmp_path / 'tools' / 'show.py').write_text(SCRIPT)
    return tmp_path


def test_script_runs_as_python_runs_it(script):
    words = ['tools/show.py', 'config.py', '--cfg-options', 'a=1', '-h', '0']
    words[0] = script / words[0]
    plain = run_python(words, script).stdout
    ours = run_python(['-m', 'mmanchor', 'run', *words], script, [ROOT]).stdout
    assert plain.replace(' False 7', ' True 7') == ours


def test_error_of_the_script_is_shown_as_python_shows_it(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', [])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    assert main(['run', str(script / 'tools' / 'show.py'), 'three']) == 1
    error = capsys.readouterr().err
    assert 'Traceback' in error and "invalid literal for int() with base 10: 'three'" in error


def test_status_of_the_script_is_ours(script, monkeypatch):
    monkeypatch.setattr(sys, 'argv', [])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    with pytest.raises(SystemExit) as error:
        main(['run', str(script / 'tools' / 'show.py'), '3'])
    assert error.value.code == 3


def test_missing_script_is_named(tmp_path, capsys):
    assert main(['run', str(tmp_path / 'gone.py')]) == 1
    assert 'there is no file' in capsys.readouterr().err


def test_published_file_is_named(tmp_path, capsys):
    torch.save(dict(state_dict=dict(weight=torch.ones(3))), tmp_path / 'epoch_1.pth')
    assert main(['publish', str(tmp_path / 'epoch_1.pth'), str(tmp_path / 'net.pth')]) == 0
    (path,) = tmp_path.glob('net-*.pth')
    assert f'{path}: 0.0 MB of weights' in capsys.readouterr().out


def test_mistake_is_one_line(tmp_path, capsys):
    assert main(['publish', str(tmp_path / 'gone.pth'), str(tmp_path / 'net.pth')]) == 1
    assert capsys.readouterr().err.count('\n') == 1
