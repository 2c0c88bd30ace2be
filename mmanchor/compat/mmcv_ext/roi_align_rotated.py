"""RoIAlign of rotated boxes, by average (as in detectron2)."""

from functools import partial

from torch import Tensor

from .common import gradients_of, in_one_precision
from .sampling import pool, shares


def roi_align_rotated_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    clockwise: bool,
) -> None:
    """Pool rotated boxes from feature maps, into ``output``.

    Args:
        input: Feature maps, (B, C, H, W).
        rois: (N, 6), image index in the batch, center, width and height in
            image pixels, and angle in radians.
        output: Receives the pooled features, (N, C, h, w).
        pooled_height: h.
        pooled_width: w.
        spatial_scale: Pixels of the feature map per pixel of the image.
        sampling_ratio: Samples along each side of a cell; 0 takes as many as
            the cell has pixels.
        aligned: Whether pixels have their centers at half coordinates.
        clockwise: Whether the angle turns x towards y, which points down.
    """
    maps, boxes = in_one_precision(input, rois)
    size = (pooled_height, pooled_width)
    output.copy_(_pool(maps, boxes, size, spatial_scale, sampling_ratio, aligned, clockwise))


def roi_align_rotated_backward(
    top_grad: Tensor,
    rois: Tensor,
    bottom_grad: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    clockwise: bool,
) -> None:
    """Write the gradient of the feature maps, into ``bottom_grad``."""
    if not len(rois):
        return
    # The gradient does not depend on the values of the maps.
    maps, boxes = in_one_precision(bottom_grad, rois)
    pooled = partial(
        _pool,
        boxes=boxes,
        size=(pooled_height, pooled_width),
        scale=spatial_scale,
        ratio=sampling_ratio,
        aligned=aligned,
        clockwise=clockwise,
    )
    bottom_grad.copy_(gradients_of(pooled, (maps,), top_grad)[0])


def _pool(
    maps: Tensor,
    boxes: Tensor,
    size: tuple[int, int],
    scale: float,
    ratio: int,
    aligned: bool,
    clockwise: bool,
) -> Tensor:
    centers = boxes[:, 1:3] * scale - (0.5 if aligned else 0.0)
    sides = boxes[:, 3:5] * scale
    if not aligned:
        sides = sides.clamp(min=1)
    angles = -boxes[:, 5] if clockwise else boxes[:, 5]

    def places(own: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        center, side = (t[own][..., None, None, None, None] for t in (centers, sides))
        along = (shares(size[1], grid[1], maps)[None, :, None] - 0.5) * side[:, 0]
        down = (shares(size[0], grid[0], maps)[:, None, :, None] - 0.5) * side[:, 1]
        angle = angles[own][:, None, None, None, None]
        x = down * angle.sin() + along * angle.cos() + center[:, 0]
        y = down * angle.cos() - along * angle.sin() + center[:, 1]
        return x, y

    return pool(maps, boxes[:, 0].long(), sides, size, ratio, places)
