"""What a test does for its report: describe, keep, write."""

from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from ..utils.config import toolbox
from ..utils.errors import UserError
from ..utils.files import PathLike, make_folder
from .page import write_report
from .recording import Recorder, recorder_of
from .runs import describe_run

_TASKS = dict(mmpretrain='classification', mmdet='detection', mmseg='segmentation')


class Reporting:
    """The report of a test, step by step; nothing happens without a folder.

    Args:
        folder: Where to; ``None`` for no report.
        cfg: The config, before test-time augmentation changes it.
        checkpoint: The file of the weights.

    Raises:
        UserError: If the folder cannot be written to, or the config is of no
            task that has reports.
    """

    def __init__(self, folder: PathLike | None, cfg: Config, checkpoint: str) -> None:
        self.folder = folder
        self._recorder: Recorder | None = None
        if folder is None:
            return
        make_folder(folder, '--report')
        scope = toolbox(cfg)
        if scope not in _TASKS:
            raise UserError(f'--report is for {", ".join(_TASKS)} configs, got {scope}')
        self._task = _TASKS[scope]
        self._run: dict[str, Any] = describe_run(cfg, checkpoint) if is_main_process() else {}

    def attach(self, runner: Runner) -> None:
        """Put what keeps the predictions behind the evaluators of the test."""
        if self.folder is not None:
            evaluator = runner.test_loop.evaluator
            self._recorder = recorder_of(self._task, evaluator.metrics)
            self._recorder.dataset_meta = evaluator.dataset_meta
            evaluator.metrics.append(self._recorder)

    def write(self, scores: dict[str, Any]) -> None:
        """Write the page.

        Args:
            scores: What the metrics of the test gave.
        """
        record = self._recorder and self._recorder.record
        if self.folder is not None and record:
            record.scores, record.run = scores, self._run
            write_report(record, self.folder)
