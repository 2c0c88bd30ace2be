"""Multi-scale deformable attention (Zhu et al., arXiv 2010.04159, eq. 3).

mmcv itself has it in plain torch, for the CPU; here it serves the GPU too.
"""

from torch import Tensor

from .common import gradients_of, in_one_precision


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Sum samples of several feature maps, weighted by attention.

    Args:
        value: All maps' pixels, (B, sum of H * W, heads, D).
        spatial_shapes: (H, W) of each level, (levels, 2).
        level_start_index: Not used; follows from ``spatial_shapes``.
        sampling_locations: (x, y) of each sample, from 0 to 1 across a map,
            (B, queries, heads, levels, points, 2).
        attention_weights: (B, queries, heads, levels, points).
        im2col_step: Not used; orders the work of the compiled operator.

    Returns:
        (B, queries, heads * D).
    """
    tensors = in_one_precision(value, sampling_locations, attention_weights)
    return _attend(spatial_shapes, *tensors).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients of :func:`ms_deform_attn_forward`."""
    tensors = in_one_precision(value, sampling_locations, attention_weights)
    grads = gradients_of(lambda *inputs: _attend(spatial_shapes, *inputs), tensors, grad_output)
    places = (grad_value, grad_sampling_loc, grad_attn_weight)
    for place, grad in zip(places, grads, strict=True):
        place.copy_(grad)


def _attend(shapes: Tensor, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    # Imported here: that module imports the extension, which is this.
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(value, shapes.cpu(), locations, weights)
