"""What of a run's log reaches the console; its file has everything."""

import logging
import re

from mmengine.logging import MMLogger
from mmengine.runner import Runner

# Beginnings of messages that hide the others: hundreds of lines for each run,
# or a line that is said again and again.
_FOR_THE_FILE = re.compile(
    r'\s*(-+\s+System environment:|Config:\n|Hooks will be executed in the following order'
    r'|paramwise_options -- |Exp name: |Distributed training is not used, all SyncBatchNorm'
    r'|Checkpoints will be saved to |Auto resumed from |Saving checkpoint at '
    r'|"FileClient" will be deprecated|"HardDiskBackend" is the alias of'
    # Twice for each scoring before something is learned; the scores follow.
    r'|The testing results of the whole dataset is empty'
    r'|Because batch augmentations are enabled, the data preprocessor)'
)


def is_for_the_file(record: logging.LogRecord) -> bool:
    """Whether a message of MMEngine or a toolbox says nothing to who watches a run.

    Args:
        record: The message.

    Example:
        >>> is_for_the_file(logging.makeLogRecord(dict(msg='paramwise_options -- a:lr=1')))
        True
        >>> is_for_the_file(logging.makeLogRecord(dict(msg='Epoch(train) [1][5/6]')))
        False
    """
    return bool(_FOR_THE_FILE.match(record.getMessage()))


class ShortRunner(Runner):
    """MMEngine's runner, which prints what matters and keeps the rest in its log file."""

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build the logger, with a console that passes over long messages."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(lambda record: not is_for_the_file(record))
        return logger
