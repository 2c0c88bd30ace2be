"""What stands in for ``mmcv._ext`` where mmcv has no compiled operators.

Loaded under that name by :mod:`mmanchor.compat.mmcv_ops`. Beside the operators
of this package any other can be looked up, because ``mmcv.ops`` looks up all of
them when it is imported; it says what is missing when called.
"""

from collections.abc import Callable
from functools import cache

from mmanchor.compat.mmcv_ext.carafe import (
    carafe_backward,
    carafe_forward,
    carafe_naive_backward,
    carafe_naive_forward,
)
from mmanchor.compat.mmcv_ext.deform_attn import ms_deform_attn_backward, ms_deform_attn_forward
from mmanchor.compat.mmcv_ext.deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from mmanchor.compat.mmcv_ext.deform_roi_pool import (
    deform_roi_pool_backward,
    deform_roi_pool_forward,
)
from mmanchor.compat.mmcv_ext.focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from mmanchor.compat.mmcv_ext.masked_conv import masked_col2im_forward, masked_im2col_forward
from mmanchor.compat.mmcv_ext.nms import bbox_overlaps, nms, nms_match, softnms
from mmanchor.compat.mmcv_ext.polygons import (
    box_iou_quadri,
    box_iou_rotated,
    nms_quadri,
    nms_rotated,
)
from mmanchor.compat.mmcv_ext.psa_mask import psamask_backward, psamask_forward
from mmanchor.compat.mmcv_ext.roi_align import roi_align_backward, roi_align_forward
from mmanchor.compat.mmcv_ext.roi_align_rotated import (
    roi_align_rotated_backward,
    roi_align_rotated_forward,
)
from mmanchor.compat.mmcv_ext.roi_pool import roi_pool_backward, roi_pool_forward
from mmanchor.compat.mmcv_ops import EXTENSION
from mmanchor.compat.stack import find_stack

__all__ = [
    'bbox_overlaps',
    'box_iou_quadri',
    'box_iou_rotated',
    'carafe_backward',
    'carafe_forward',
    'carafe_naive_backward',
    'carafe_naive_forward',
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'deform_roi_pool_backward',
    'deform_roi_pool_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'masked_col2im_forward',
    'masked_im2col_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'nms_match',
    'nms_quadri',
    'nms_rotated',
    'psamask_backward',
    'psamask_forward',
    'roi_align_backward',
    'roi_align_forward',
    'roi_align_rotated_backward',
    'roi_align_rotated_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softmax_focal_loss_backward',
    'softmax_focal_loss_forward',
    'softnms',
]

CURES = {
    'openmmlab': 'pip uninstall mmcv-lite; pip install "setuptools<81"; pip '
    'install --no-build-isolation "mmcv>=2.1,<2.2"',
    'onedl': 'pip install --no-build-isolation --no-cache-dir --no-deps '
    '--force-reinstall onedl-mmcv',
}


def get_compiler_version() -> str:
    """What reports of the environment show as mmcv's compiler."""
    return 'none (mmanchor: operators by torchvision)'


def get_compiling_cuda_version() -> str:
    """What reports of the environment show as mmcv's CUDA compiler."""
    return 'none (mmanchor: operators by torchvision)'


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
