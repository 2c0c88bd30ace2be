"""Deformable RoI pooling (Dai et al., arXiv 1703.06211, section 2.2).

RoIAlign in which each cell is shifted by a share of the box's sides.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .recompute import gradients_of
from .roi_align import sampling_grids
from .torchvision_ops import in_one_precision


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

    def pool(maps: Tensor, shifts: Tensor = shifts) -> Tensor:
        return _pool(maps, shifts, boxes, size, spatial_scale, sampling_ratio, gamma)

    if not len(boxes):
        return
    inputs = (maps, shifts) if shifts.numel() else (maps,)
    grads = gradients_of(pool, inputs, grad_output)
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
    parts, places = [maps.new_zeros(0, maps.size(1), *size)], []
    for chosen, grid in sampling_grids(boxes, size, scale, ratio, True):
        for image in boxes[chosen, 0].unique().long():
            own = chosen[boxes[chosen, 0] == image]
            corners = boxes[own, 1:] * scale - 0.5
            parts.append(_cells(maps[image], corners, gamma * shifts[own], size, grid))
            places.append(own)
    return torch.cat(parts)[torch.cat(places).argsort()] if places else parts[0]


def _cells(
    plane: Tensor, corners: Tensor, shifts: Tensor, size: tuple[int, int], grid: tuple[int, int]
) -> Tensor:
    # The mean of each cell's samples, (n, C, h, w), of one image's map.
    sides = corners[:, 2:] - corners[:, :2]
    rows, columns = torch.meshgrid(
        *(torch.arange(count, device=plane.device) for count in size), indexing='ij'
    )
    x = _along(columns, size[1], grid[1], corners[:, 0], sides[:, 0], shifts[:, 0])
    y = _along(rows, size[0], grid[0], corners[:, 1], sides[:, 1], shifts[:, 1])
    x, y = torch.broadcast_tensors(x[..., None, :], y[..., None])  # (n, h, w, gy, gx)
    return _samples(plane, x, y).mean((-1, -2)).transpose(0, 1)


def _along(
    cell: Tensor, cells: int, samples: int, start: Tensor, side: Tensor, shift: Tensor
) -> Tensor:
    # Places of the samples of each cell along one axis, (n, h, w, samples).
    inside = (torch.arange(samples, device=cell.device, dtype=start.dtype) + 0.5) / samples
    steps = (cell[..., None] + inside) / cells  # (h, w, samples), in sides
    start, side = start[:, None, None, None], side[:, None, None, None]
    return start + side * (steps + shift[..., None])


def _samples(plane: Tensor, x: Tensor, y: Tensor) -> Tensor:
    # Bilinear, (C, *shape): edge pixels reach one pixel out, then comes zero.
    height, width = plane.shape[1:]
    lattice = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], -1)
    values = F.grid_sample(
        plane[None], lattice.view(1, -1, 1, 2), padding_mode='border', align_corners=True
    )
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    return values.view(-1, *x.shape) * inside
