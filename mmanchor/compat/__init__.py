"""What makes today's OpenMMLab stacks work; installed by ``import mmanchor``.

``mmengine_patches`` lists what is changed in MMEngine, ``mmcv_ops`` supplies
``mmcv._ext`` where mmcv has no compiled operators, ``toolboxes`` mends what
numpy 2 breaks, what mmseg cannot draw and what torch does not load,
``checkpoints`` and ``safe_pickle`` read files without running them, ``stack``
knows which versions are supported and ``doctor`` looks at all of it.
"""

from ..utils.errors import UserError
from . import mmcv_ops, mmengine_patches
from .checkpoints import load_checkpoint
from .errors import CheckpointError, NotSavedError, UnsafeCheckpointError
from .toolboxes import cpu_processes, drawing, inferencers, numpy2, torch_load
from .trust import is_trusted, trust_checkpoint

__all__ = [
    'CheckpointError',
    'NotSavedError',
    'UnsafeCheckpointError',
    'UserError',
    'install',
    'is_trusted',
    'load_checkpoint',
    'trust_checkpoint',
]


def install() -> None:
    """Make the repairs; calling it again is harmless.

    Nothing of the stack is imported for it, and nothing is checked: a missing
    or unsuitable stack is reported by ``mmanchor.registry`` and the commands.
    """
    mmcv_ops.install()
    mmengine_patches.install()
    inferencers.install()
    numpy2.install()
    drawing.install()
    torch_load.install()
    cpu_processes.install()
