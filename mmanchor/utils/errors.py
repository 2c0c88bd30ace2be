"""The error that a command shows as one message instead of a traceback."""

import re
import traceback
from pathlib import Path

_COLORS = re.compile(r'\x1b\[[0-9;]*m')


class UserError(ValueError):
    """Something the user gave cannot work: a path, a data set, an option.

    The message names what was given and what would be right.
    """


def in_one_line(error: BaseException) -> str:
    """What went wrong in other people's code, for a message or a table.

    Args:
        error: What was raised; if it was raised from another error, as
            exporters do, it is that one that counts.

    Returns:
        Its type and the first line of its message; without a message, the
        line of code.

    Example:
        >>> in_one_line(ValueError('no such size' + chr(10) + 'and more'))
        'ValueError: no such size'
    """
    error = _cause(error)
    # A KeyError's text is the quoted key.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    lines = _COLORS.sub('', str(text)).strip().splitlines()
    if not lines:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [
            f'{Path(frame.filename).name}, line {frame.lineno}: {frame.line}'
            for frame in frames[-1:]
        ]
    return ': '.join([type(error).__name__, *lines[:1]])


def innermost_place(error: BaseException) -> str:
    """File and line that raised an error, such as ``'runner.py, line 12'``."""
    frames = traceback.extract_tb(_cause(error).__traceback__)
    if not frames:
        return 'unknown place'
    return f'{Path(frames[-1].filename).name}, line {frames[-1].lineno}'


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
