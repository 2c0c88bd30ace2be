"""RoIPool: the largest pixel of each cell of a box.

Girshick, Fast R-CNN (arXiv 1504.08083), section 2.1, in mmcv's version: boxes
are scaled without rounding, where torchvision's operator rounds them first.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from .common import in_one_precision

# Pixels looked at together, times channels: bounds the memory.
CHUNK = 2**24


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Pool boxes from feature maps, into ``output``.

    Args:
        input: Feature maps, (B, C, H, W).
        rois: (N, 5), image index in the batch and the first and last pixel of
            the box, in image pixels.
        output: Receives the pooled features, (N, C, h, w); 0 where a cell has
            no pixel.
        argmax: Receives the place of each in its map, (N, C, h, w), int32;
            -1 where a cell has no pixel.
        pooled_height: h.
        pooled_width: w.
        spatial_scale: Pixels of the feature map per pixel of the image.
    """
    maps, boxes = in_one_precision(input, rois)
    height, width = maps.shape[2:]
    pixels = maps.permute(0, 2, 3, 1)  # (B, H, W, C)
    corners = torch.cat([boxes[:, 1:3], boxes[:, 3:5] + 1], 1) * spatial_scale
    sides = corners[:, 2:] - corners[:, :2]
    columns, wide = _cells(corners[:, 0], sides[:, 0], pooled_width, width)
    rows, high = _cells(corners[:, 1], sides[:, 1], pooled_height, height)
    filled = high[:, :, None] & wide[:, None] & (sides > 0).all(1)[:, None, None]
    for part in _chunks(rows, columns, maps.size(1)):
        y, x = rows[part][:, :, None, :, None], columns[part][:, None, :, None]
        image = boxes[part, 0].long()[:, None, None, None, None]
        cells = pixels[image, y, x].flatten(3, 4)  # (n, h, w, pixels, C)
        values, places = cells.max(3)
        found = (y * width + x).flatten(3).gather(3, places)
        empty = ~filled[part, ..., None]
        output[part] = values.masked_fill(empty, 0).movedim(3, 1).to(output.dtype)
        argmax[part] = found.masked_fill(empty, -1).movedim(3, 1).to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add the gradient of :func:`roi_pool_forward` to ``grad_input``."""
    grad = torch.zeros_like(grad_input, dtype=in_one_precision(grad_output)[0].dtype)
    channels, pixels = grad.size(1), grad[0, 0].numel()
    channel = torch.arange(channels, device=grad.device)[:, None, None]
    image = rois[:, 0].long()[:, None, None, None]
    places = (image * channels + channel) * pixels + argmax
    found = argmax >= 0
    grad.view(-1).index_add_(0, places[found], grad_output[found].to(grad.dtype))
    grad_input.add_(grad)


def _cells(start: Tensor, side: Tensor, count: int, size: int) -> tuple[Tensor, Tensor]:
    # The pixels of each cell along one axis, (N, count, pixels), shorter cells
    # repeating their last; and whether the cell has any, (N, count).
    steps = torch.arange(count, device=start.device, dtype=start.dtype)
    cell = (side / count)[:, None]
    first = (steps * cell + start[:, None]).floor().long().clamp(0, size)
    last = ((steps + 1) * cell + start[:, None]).ceil().long().clamp(0, size)
    longest = int((last - first).max().clamp(min=1)) if len(start) else 1
    pixels = first[..., None] + torch.arange(longest, device=start.device)
    pixels = pixels.minimum(last[..., None] - 1).clamp(0, size - 1)
    return pixels, last > first


def _chunks(rows: Tensor, columns: Tensor, channels: int) -> Iterator[slice]:
    if not len(rows):
        return
    step = max(CHUNK // (rows[0].numel() * columns[0].numel() * channels), 1)
    for start in range(0, len(rows), step):
        yield slice(start, start + step)
