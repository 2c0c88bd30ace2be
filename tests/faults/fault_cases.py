"""What a case is, and how it runs: in a process of its own, for a limited time."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRACEBACK = 'Traceback (most recent call last)'
# One line, but of an error that no check foresaw: survived, and counted.
VAGUE = 'vague: '
# Characters of a message that somebody still reads.
LONGEST = 3000


@dataclass
class Case:
    """One fault.

    Args:
        name: What is tried.
        fault: Tries it; returns what went wrong, empty if nothing did.
    """

    name: str
    fault: Callable[[], str]


def forked(function: Callable[[], int], seconds: float) -> tuple[int | None, str]:
    """Run a function in a copy of this process.

    Args:
        function: Returns an exit status.
        seconds: Limit, after which the copy is killed.

    Returns:
        The exit status (``None`` if killed by the limit, negative if by a
        signal) and what was written.
    """
    with tempfile.TemporaryFile() as out:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            status = 70
            try:
                sys.stdout = sys.stderr = open(1, 'w', closefd=False)  # noqa: SIM115
                status = function()
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                with contextlib.suppress(Exception):
                    sys.stdout.flush()
                os._exit(status or 0)
        status = _wait(child, seconds)
        out.seek(0)
        return status, out.read().decode(errors='replace')


def _wait(child: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def command(
    words: Sequence[str], seconds: float = 300, cwd: Path | None = None
) -> tuple[int | None, str]:
    """Run a command in a copy of this process.

    Args:
        words: What follows ``mmanchor``.
        seconds: Limit.
        cwd: Folder to be in, for words that may be names of outputs.
    """

    def run() -> int:
        if cwd is not None:
            os.chdir(cwd)
        from mmanchor.cli.main import main

        try:
            return main([str(word) for word in words])
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1

    return forked(run, seconds)


def fault_of(status: int | None, text: str, allowed: Sequence[int] = (0, 1, 2)) -> str:
    """What is wrong with the end of a command; empty if nothing is."""
    last = text.strip().splitlines()[-1][:300] if text.strip() else ''
    if status is None:
        return f'still running: {last}'
    if TRACEBACK in text and 'mmanchor-traceback' not in text:
        return f'traceback: {last}'
    if status not in allowed:
        return f'exit status {status}: {last}'
    said = text[text.rfind('\nmmanchor ') + 1 :] if '\nmmanchor ' in text else last
    if status == 1 and 'traceback: /' in said:
        return f'{VAGUE}{said[:300]}'
    if status == 1 and len(said) > LONGEST:
        return f'a message of {len(said)} characters'
    return ''


def spawned(words: Sequence[str], cwd: Path, **options) -> subprocess.Popen:
    """Start a command as a user does, in a process that can be killed."""
    return subprocess.Popen(
        [sys.executable, '-m', 'mmanchor', *map(str, words)],
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def tiny_project(folder: Path) -> Path:
    """Data and configs that a command runs through in a second."""
    import tiny_project as project

    data = project.make_data(folder / 'data')
    project.write_config(folder, project.SEGMENTATION, data, 'seg')
    project.write_config(folder, project.DETECTION, data, 'det')
    return folder


def load_all() -> None:
    """Import what commands need, so that copies of this process start quickly."""
    import torch

    import mmanchor.apis
    import mmanchor.models  # noqa: F401

    torch.set_num_threads(1)
