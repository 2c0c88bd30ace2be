"""A progress bar for runs that a person waits for."""

import atexit
import sys
import time

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from ...registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows iterations, remaining time and loss of training and of scoring.

    It writes to stderr: a bar on a terminal; elsewhere, as in a log file, a
    line now and then.

    Args:
        description: Shown before the bar.
        line_interval: Seconds between two lines where there is no terminal.
    """

    priority = 'VERY_LOW'

    def __init__(self, description: str = 'training', line_interval: float = 15.0) -> None:
        self.description = description
        self.line_interval = line_interval
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def before_train(self, runner) -> None:
        """Start the bar, or the clock of the lines."""
        self._begin(runner.iter, runner.max_iters)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None
    ) -> None:
        """Move on by one iteration."""
        loss = f'loss {outputs["loss"].item():.3f}' if outputs else ''
        self._advance(runner.iter + 1, loss)

    def after_train(self, runner) -> None:
        """Take the bar away."""
        self._end()

    def before_test_epoch(self, runner) -> None:
        """Start the bar, or the clock of the lines."""
        self._begin(0, len(runner.test_dataloader))

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Move on by one batch."""
        self._advance(batch_idx + 1)

    def after_test_epoch(self, runner, metrics=None) -> None:
        """Take the bar away."""
        self._end()

    def _begin(self, done: int, total: int) -> None:
        self._first, self._total = done, total
        self._start = self._last_line = time.monotonic()
        if not is_main_process() or not sys.stderr.isatty():
            return
        self._bar = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn('{task.fields[note]}'),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(self.description, total=total, completed=done, note='')
        # Ctrl+C ends a run without telling the hooks, and the bar has hidden
        # the terminal's cursor.
        atexit.register(self._stop)
        self._bar.start()

    def _advance(self, done: int, note: str = '') -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if is_main_process() and now - self._last_line >= self.line_interval:
            self._last_line = now
            pace = (now - self._start) / (done - self._first)
            left = int(pace * (self._total - done))
            facts = [
                f'{self.description}: {done}/{self._total}',
                note,
                f'{left // 60}:{left % 60:02d} min left',
            ]
            print(', '.join(filter(None, facts)), file=sys.stderr, flush=True)

    def _end(self) -> None:
        self._stop()
        atexit.unregister(self._stop)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
