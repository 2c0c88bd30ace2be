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
        super().__init__(
            f'{name} was not loaded: it wants {wants}, which a checkpoint has '
            'no need of and which could run code on this machine' + (advice if can_trust else '')
        )
