"""The progress bar, on a terminal and in a log file."""

import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import torch

from mmanchor.engine.hooks import ProgressHook

HIDE, SHOW = b'\x1b[?25l', b'\x1b[?25h'
STOPPED = """
from types import SimpleNamespace
from mmanchor.engine.hooks import ProgressHook
hook = ProgressHook('work')
hook.before_train(SimpleNamespace(iter=0, max_iters=4))
raise KeyboardInterrupt
"""


def test_a_stopped_run_gives_the_cursor_back():
    ours, theirs = pty.openpty()
    with open(ours, 'rb', buffering=0) as screen:
        done = subprocess.run(
            [sys.executable, '-c', STOPPED], stderr=theirs, env={**os.environ, 'TERM': 'xterm'}
        )
        os.close(theirs)
        shown = screen.read(100_000)
    assert done.returncode != 0
    assert HIDE in shown and shown.rindex(SHOW) > shown.rindex(HIDE)


def test_a_log_file_gets_lines_with_the_time_left(capsys):
    hook = ProgressHook('work', line_interval=0.0)
    runner = SimpleNamespace(iter=2, max_iters=4)
    hook.before_train(runner)
    hook.after_train_iter(runner, 2, outputs=dict(loss=torch.tensor(0.5)))
    hook.after_train(runner)
    assert capsys.readouterr().err == ('work: 3/4, loss 0.500, 0:00 min left\n')


def test_scoring_is_counted_in_batches(capsys):
    hook = ProgressHook('scoring', line_interval=0.0)
    runner = SimpleNamespace(test_dataloader=range(3))
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0)
    hook.after_test_epoch(runner)
    assert capsys.readouterr().err.startswith('scoring: 1/3, 0:')
