"""The error that a command shows as one message instead of a traceback."""

import re
import traceback
from pathlib import Path

_COLOURS = re.compile(r'\x1b\[[0-9;]*m')


class UserError(ValueError):
    """Something the user gave cannot work: a path, a data set, an option.

    The message names what was given and what would be right.
    """


def in_one_line(error: BaseException) -> str:
    """What went wrong in other people's code, for a message or a table.

    Args:
        error: What was raised; if it was raised from another error, as
            exporters do, that one is told.

    Returns:
        Its type and the first line of its message; without a message, the
        line of code.

    Example:
        >>> in_one_line(ValueError('no such size' + chr(10) + 'and more'))
        'ValueError: no such size'
    """
    while error.__cause__ is not None:
        error = error.__cause__
    lines = _COLOURS.sub('', str(error)).strip().splitlines()
    if not lines:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f'{Path(frame.filename).name}, line {frame.lineno}: '
                 f'{frame.line}' for frame in frames[-1:]]  # yapf: disable
    return ': '.join([type(error).__name__, *lines[:1]])
