"""Which checkpoint files the user trusts to run code when they are loaded."""

import os
from pathlib import Path

# Paths separated as in PATH, for programs started by another program.
ENVIRONMENT = 'MMANCHOR_TRUST_CHECKPOINTS'

_TRUSTED: set[str] = set()


def _normalize(path: str | Path) -> str:
    text = os.fspath(path)
    if '://' in text:
        return text
    return os.path.realpath(os.path.expanduser(text))


class trust_checkpoint:
    """Let one file be unpickled without the allow-list: it may run any code.

    Called alone, it trusts the file for the rest of the process; in a
    ``with`` statement, only inside it.

    Args:
        path: The file, or the URL as it is given to a loader.

    Example:
        >>> with trust_checkpoint('from_a_friend.pth'):
        ...     is_trusted('from_a_friend.pth')
        True
        >>> is_trusted('from_a_friend.pth')
        False
    """

    def __init__(self, path: str | Path) -> None:
        self.path = _normalize(path)
        self.is_new = self.path not in _TRUSTED
        _TRUSTED.add(self.path)

    def __enter__(self) -> 'trust_checkpoint':
        return self

    def __exit__(self, *error: object) -> None:
        if self.is_new:
            _TRUSTED.discard(self.path)


def is_trusted(path: str | Path) -> bool:
    """Whether the user trusts this file or URL."""
    listed = os.environ.get(ENVIRONMENT, '').split(os.pathsep)
    trusted = _TRUSTED.union(_normalize(item) for item in listed if item)
    return _normalize(path) in trusted
