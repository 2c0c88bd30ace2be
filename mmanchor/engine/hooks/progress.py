"""A progress bar for runs that a person waits for."""
import atexit
import sys
import time
from typing import Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import (BarColumn, MofNCompleteColumn, Progress, TaskID,
                           TextColumn, TimeRemainingColumn)

from ...registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows iterations, remaining time and loss of an iteration-based run.

    It writes to stderr: a bar on a terminal; elsewhere, as in a log file, a
    line now and then.

    Args:
        description: Shown before the bar.
        line_interval: Seconds between two lines where there is no terminal.
    """

    priority = 'VERY_LOW'

    def __init__(self,
                 description: str = 'training',
                 line_interval: float = 15.) -> None:
        self.description = description
        self.line_interval = line_interval
        self._bar: Optional[Progress] = None
        self._task: Optional[TaskID] = None

    def before_train(self, runner) -> None:
        """Start the bar, or the clock of the lines."""
        self._first, self._start = runner.iter, time.monotonic()
        self._last_line = self._start
        if is_main_process() and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn('{task.description}'),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn('{task.fields[loss]}'),
                console=Console(stderr=True))
            self._task = self._bar.add_task(
                self.description,
                total=runner.max_iters,
                completed=runner.iter,
                loss='')
            # Ctrl+C ends training without telling the hooks, and the bar
            # has hidden the terminal's cursor.
            atexit.register(self._stop)
            self._bar.start()

    def after_train_iter(self,
                         runner,
                         batch_idx: int,
                         data_batch=None,
                         outputs: Optional[dict] = None) -> None:
        """Move on by one iteration."""
        if not is_main_process():
            return
        done = runner.iter + 1
        loss = f'loss {outputs["loss"].item():.3f}' if outputs else ''
        if self._bar is not None:
            self._bar.update(self._task, completed=done, loss=loss)
            return
        now = time.monotonic()
        if now - self._last_line >= self.line_interval:
            self._last_line = now
            pace = (now - self._start) / (done - self._first)
            left = int(pace * (runner.max_iters - done))
            print(
                f'{self.description}: {done}/{runner.max_iters}, {loss}, '
                f'{left // 60}:{left % 60:02d} min left',
                file=sys.stderr,
                flush=True)

    def after_train(self, runner) -> None:
        """Take the bar away."""
        self._stop()
        atexit.unregister(self._stop)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
