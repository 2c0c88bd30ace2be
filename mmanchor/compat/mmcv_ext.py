"""What stands in for ``mmcv._ext`` where mmcv has no compiled operators.

Loaded under that name by :mod:`mmanchor.compat.mmcv_ops`. ``nms`` is
torchvision's; any other operator can be looked up, because ``mmcv.ops`` looks
up all of them when it is imported, and says what is missing when called.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from mmanchor.compat.mmcv_ops import EXTENSION
from mmanchor.compat.stack import find_stack

CURES = {
    'openmmlab': 'pip uninstall mmcv-lite; pip install "setuptools<81"; pip '
    'install --no-build-isolation "mmcv>=2.1,<2.2"',
    'onedl': 'pip install --no-build-isolation --no-cache-dir --no-deps '
    '--force-reinstall onedl-mmcv',
}


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression, as mmcv's operator of this name.

    Args:
        boxes: (N, 4), corners (x1, y1, x2, y2) in pixels.
        scores: (N,).
        iou_threshold: A box goes if its IoU with a better one exceeds this.
        offset: 0, or 1 where a side is ``x2 - x1 + 1`` pixels long.

    Returns:
        Indices of the boxes kept, best first, (K,), int64.
    """
    from torchvision.ops import nms as torchvision_nms

    # torchvision wants one dtype, and has no half precision on the CPU.
    dtype = torch.promote_types(boxes.dtype, scores.dtype)
    if dtype not in (torch.float32, torch.float64):
        dtype = torch.float32
    boxes, scores = boxes.to(dtype), scores.to(dtype)
    # Sides of x2 - x1 + 1 are those of a box whose far corner lies 1 further.
    boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision_nms(boxes, scores, float(iou_threshold))


def get_compiler_version() -> str:
    """What reports of the environment show as mmcv's compiler."""
    return 'none (mmanchor: nms by torchvision)'


def get_compiling_cuda_version() -> str:
    """What reports of the environment show as mmcv's CUDA compiler."""
    return 'none (mmanchor: nms by torchvision)'


@cache
def _missing(name: str) -> Callable:

    def missing(*args, **kwargs):
        cure = CURES.get(find_stack().name, CURES['openmmlab'])
        raise NotImplementedError(
            f'mmcv.ops needs the compiled operator {name!r}, which this '
            'installation of mmcv does not have: install mmcv with compiled '
            f'operators, which takes a C++ compiler and minutes ({cure})'
        )

    missing.__name__ = missing.__qualname__ = name
    return missing


def __getattr__(name: str) -> Callable:
    # inspect probes modules for dunder names, and pytest this file for hooks.
    if name.startswith('_') or __name__ != EXTENSION:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return _missing(name)
