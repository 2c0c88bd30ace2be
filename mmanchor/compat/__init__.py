"""What makes today's OpenMMLab stacks work; installed by ``import mmanchor``.

One file per repair: ``stack`` finds out which mm* distributions are installed,
``mmcv_ops`` supplies ``mmcv._ext`` where mmcv has no compiled operators, and
``mmengine_guards`` keeps checkpoint loading on an allow-list, ``config_paths``
resolves ``_base_ = 'mmanchor::...'``.
"""

import sys
from pathlib import Path
from typing import List, Optional

from ..utils.errors import UserError
from . import config_paths, mmcv_ops, mmengine_guards, stack
from .checkpoints import load_checkpoint
from .errors import CheckpointError, UnsafeCheckpointError
from .trust import is_trusted, trust_checkpoint

__all__ = [
    'CheckpointError',
    'UnsafeCheckpointError',
    'UserError',
    'install',
    'is_trusted',
    'load_checkpoint',
    'trust_checkpoint',
]

# Commands that say what is wrong, or what there is, on a broken stack.
ALWAYS_RUN = ('doctor', '-h', '--help', '--version')


def install() -> None:
    """Check the stack and make the repairs; calling it again is harmless.

    Raises:
        ImportError: If no mm* stack is installed or a version is unsuitable.
        SystemExit: The same, where the process is the ``mmanchor`` command,
            which shows one line instead of a traceback.
    """
    words = _command_line()
    # The console script imports this package before it can look at its
    # words, so `mmanchor doctor` is told apart here.
    if not words or words[0] not in ALWAYS_RUN:
        try:
            stack.require_stack()
        except ImportError as error:
            if words is None:
                raise
            raise SystemExit(f'mmanchor: {error}')
    mmcv_ops.install()
    mmengine_guards.install()
    config_paths.install()


def _command_line() -> list[str] | None:
    """The words after ``mmanchor`` if the process is that command."""
    program, *words = sys.argv or ['']
    if program == '-m':
        # `python -m NAME`: the name is only in the original words.
        program = sys.orig_argv[-len(sys.argv)]
    return words if Path(program).stem == 'mmanchor' else None
