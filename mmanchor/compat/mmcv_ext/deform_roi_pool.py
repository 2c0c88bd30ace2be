"""Deformable RoI pooling (Dai et al., arXiv 1703.06211, section 2.2).

RoIAlign in which each cell is shifted by a share of the box's sides.
"""

import torch
from torch import Tensor

from .common import gradients_of, in_one_precision
from .sampling import pool, shares


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Pool boxes from feature maps, into ``output``.

    Args:
        input: Feature maps, (B, C, H, W).
        rois: (N, 5), image index in the batch and corners in image pixels.
        offset: Shift of each cell, x then y, in sides of the box,
            (N, 2, h, w), or empty.
        output: Receives the pooled features, (N, C, h, w).
        pooled_height: h.
        pooled_width: w.
        spatial_scale: Pixels of the feature map per pixel of the image.
        sampling_ratio: Samples along each side of a cell; 0 takes as many as
            the cell has pixels.
        gamma: Factor of all shifts.
    """
    maps, boxes, shifts = in_one_precision(input, rois, offset)
    size = (pooled_height, pooled_width)
    output.copy_(_pool(maps, shifts, boxes, size, spatial_scale, sampling_ratio, gamma))


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Write the gradients of the feature maps and of the shifts."""
    maps, boxes, shifts = in_one_precision(input, rois, offset)
    size = (pooled_height, pooled_width)

    def pooled(maps: Tensor, shifts: Tensor = shifts) -> Tensor:
        return _pool(maps, shifts, boxes, size, spatial_scale, sampling_ratio, gamma)

    if not len(boxes):
        return
    inputs = (maps, shifts) if shifts.numel() else (maps,)
    grads = gradients_of(pooled, inputs, grad_output)
    for place, grad in zip((grad_input, grad_offset), grads, strict=False):
        place.copy_(grad)


def _pool(
    maps: Tensor,
    shifts: Tensor,
    boxes: Tensor,
    size: tuple[int, int],
    scale: float,
    ratio: int,
    gamma: float,
) -> Tensor:
    if not shifts.numel():
        shifts = maps.new_zeros(len(boxes), 2, *size)
    corners = boxes[:, 1:] * scale - 0.5
    sides = corners[:, 2:] - corners[:, :2]

    def places(own: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        # Where a sample is along the box's sides, in sides: (n, h, w, gy, gx).
        shift = gamma * shifts[own][..., None, None]
        along = shares(size[1], grid[1], maps)[None, :, None] + shift[:, 0]
        down = shares(size[0], grid[0], maps)[:, None, :, None] + shift[:, 1]
        start, side = (t[own][..., None, None, None, None] for t in (corners, sides))
        return torch.broadcast_tensors(
            start[:, 0] + side[:, 0] * along, start[:, 1] + side[:, 1] * down
        )

    return pool(maps, boxes[:, 0].long(), sides, size, ratio, places)
