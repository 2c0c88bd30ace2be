"""What all commands share: names, errors in one line, --traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmanchor.cli import main as main_module
from mmanchor.cli.main import COMMANDS, main
from mmanchor.utils.errors import UserError


@pytest.fixture
def failing(monkeypatch, tmp_path):
    """Make `mmanchor doctor` fail with an error of choice."""
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))

    def fail(error):
        def run(args):
            raise error

        monkeypatch.setattr('mmanchor.cli.doctor.run', run)

    return fail


def test_a_mistake_is_one_line(failing, capsys, tmp_path):
    failing(UserError('--out is a folder'))
    assert main(['doctor']) == 1
    assert capsys.readouterr().err == 'mmanchor doctor: --out is a folder\n'
    assert not list(tmp_path.iterdir())


def test_an_unforeseen_error_is_one_line_and_its_traceback_a_file(failing, capsys, tmp_path):
    failing(TypeError('no\nsuch'))
    assert main(['doctor']) == 1
    [line] = capsys.readouterr().err.splitlines()
    [kept] = tmp_path.iterdir()
    assert line.startswith('mmanchor doctor: TypeError: no (test_main.py, line ')
    assert line.endswith(f'traceback: {kept})')
    assert 'Traceback (most recent call last)' in kept.read_text()


@pytest.mark.parametrize(
    'words, meant',
    [
        (['train', 'x.py', '--workdir', 'y'], '--work-dir'),
        (['test', 'x.py', 'y', '--workdir=y'], '--work-dir'),
        (['predict', 'x.py', 'y', 'z', '--score_thr', '0.1'], '--score-thr'),
        (['train', 'x.py', '--cfg_options', 'a=1'], '--cfg-options'),
    ],
)
def test_an_option_that_was_meant_is_named(words, meant, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert f'did you mean {meant}?' in capsys.readouterr().err


def test_traceback_shows_it(failing, capsys, tmp_path):
    failing(UserError('wrong'))
    assert main(['doctor', '--traceback']) == 1
    error = capsys.readouterr().err
    assert 'Traceback (most recent call last)' in error
    assert error.endswith('mmanchor doctor: wrong\n')
    assert not list(tmp_path.iterdir())


def test_the_file_of_a_system_error_is_named(failing, capsys):
    failing(OSError(28, 'No space left on device', '/full/iter_1.pth'))
    assert main(['doctor']) == 1
    error = capsys.readouterr().err
    assert 'No space left on device' in error and '/full/iter_1.pth' in error


@pytest.mark.parametrize(
    'word, meant',
    [('eval', 'test'), ('deploy', 'export'), ('trian', 'train'), ('infer', 'predict')],
)
def test_a_near_command_is_named(capsys, word, meant):
    assert main([word]) == 2
    assert f'did you mean {meant}?' in capsys.readouterr().err


def test_every_command_has_help(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([name, '--help'])
        assert stop.value.code == 0
        assert '--traceback' in capsys.readouterr().out


def test_help_imports_no_torch():
    root = Path(main_module.__file__).parents[2]
    code = (
        'import sys; from mmanchor.cli.main import main; main(["--help"]); '
        'print("torch" in sys.modules, "mmengine" in sys.modules)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(root)},
        check=True,
    )
    assert done.stdout.endswith('False False\n')
