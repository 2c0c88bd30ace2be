"""Errors of checkpoints, which a command shows as one message."""

from ..utils.errors import UserError
from .trust import ENVIRONMENT


class CheckpointError(UserError):
    """A checkpoint file cannot be read: it is damaged, or no checkpoint."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint wants more than the allow-list; nothing in it was run.

    Args:
        name: The file, as the user named it.
        wants: What it wants: the class or function, or what it is.
        can_trust: Whether the user can have it loaded all the same.
    """

    def __init__(self, name: str, wants: str, can_trust: bool = True) -> None:
        advice = (
            '. If you trust whoever made the file, say so: '
            '--trust-checkpoint, mmanchor.compat.trust_checkpoint(path), or '
            f'the path in the environment variable {ENVIRONMENT}'
        )
        # Text from the file: no codes that a terminal obeys, and not all of it.
        shown = ''.join(each if each.isprintable() else '?' for each in wants[:300])
        super().__init__(
            f'{name} was not loaded: it wants {shown}. A checkpoint does not need this, and it '
            'could run code or use up the memory of this machine' + (advice if can_trust else '')
        )
        self._given = name, wants, can_trust

    def __reduce__(self) -> tuple:
        # Or a worker process could not send this error to the main one.
        return type(self), self._given


class NotSavedError(UserError, OSError):
    """A file could not be written: the disk is full, or the folder is gone.

    Args:
        error: What the system said.
        path: The file.
    """

    def __init__(self, error: OSError, path: str) -> None:
        super().__init__(
            f'{path} was not written ({error.strerror or error}); make room there, or choose '
            'another folder. Nothing that was written before is lost'
        )
        self.errno = error.errno
        self._given = error, path

    def __reduce__(self) -> tuple:
        return type(self), self._given
