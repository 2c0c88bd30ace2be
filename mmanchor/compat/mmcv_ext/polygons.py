"""Overlaps and suppression of rotated boxes and of convex quadrilaterals."""

from collections.abc import Callable

import torch
from torch import Tensor

# Pairs computed together: bounds the memory.
CHUNK = 2**18
# Relative to the size of the shapes; below it, edges lie on one line.
TOLERANCE = 1e-9
# The area, in pixels, below which a box overlaps nothing.
SMALLEST = 1e-14


def box_iou_rotated(
    boxes1: Tensor, boxes2: Tensor, ious: Tensor, mode_flag: int, aligned: bool
) -> None:
    """Write the IoU of rotated boxes, or the share of the first box.

    Args:
        boxes1: (N, 5), center, width and height in pixels, and the angle in
            radians that turns x towards y.
        boxes2: (M, 5).
        ious: Receives the result, (N * M,), or (N,) where ``aligned`` pairs
            the boxes.
        mode_flag: 0 divides by the union, 1 by the area of the first box.
        aligned: Whether box i goes with box i only.
    """
    _write_overlaps(_corners_of_rotated, boxes1, boxes2, ious, mode_flag, aligned)


def box_iou_quadri(
    boxes1: Tensor, boxes2: Tensor, ious: Tensor, mode_flag: int, aligned: bool
) -> None:
    """The same for convex quadrilaterals, (N, 8), corners in either direction."""
    _write_overlaps(_corners_of_quadri, boxes1, boxes2, ious, mode_flag, aligned)


def nms_rotated(
    dets: Tensor,
    scores: Tensor,
    order: Tensor,
    dets_sorted: Tensor,
    labels: Tensor,
    iou_threshold: float,
    multi_label: bool,
) -> Tensor:
    """Greedy non-maximum suppression of rotated boxes.

    Args:
        dets: (N, 5) as in :func:`box_iou_rotated`, and a column of labels if
            ``multi_label``.
        scores: (N,).
        order: Indices by falling score, (N,).
        dets_sorted: ``dets`` in that order.
        labels: Not used: they are in ``dets``.
        iou_threshold: A box goes if its IoU with a better one exceeds this.
        multi_label: Whether boxes of different labels leave each other alone.

    Returns:
        Indices of the boxes kept, best first, (K,), int64.
    """
    return order[_kept(_corners_of_rotated, dets_sorted, 5, iou_threshold, multi_label)]


def nms_quadri(
    dets: Tensor,
    scores: Tensor,
    order: Tensor,
    dets_sorted: Tensor,
    iou_threshold: float,
    multi_label: bool,
) -> Tensor:
    """The same for convex quadrilaterals, (N, 8)."""
    return order[_kept(_corners_of_quadri, dets_sorted, 8, iou_threshold, multi_label)]


def _corners_of_rotated(boxes: Tensor) -> Tensor:
    x, y, width, height, angle = boxes.double().unbind(-1)
    right = torch.stack([angle.cos(), angle.sin()], -1) * (width / 2)[..., None]
    down = torch.stack([-angle.sin(), angle.cos()], -1) * (height / 2)[..., None]
    center = torch.stack([x, y], -1)
    top, bottom = center - down, center + down
    return torch.stack([top - right, top + right, bottom + right, bottom - right], -2)


def _corners_of_quadri(boxes: Tensor) -> Tensor:
    corners = boxes.double().unflatten(-1, (4, 2))
    # All in the direction that turns x towards y.
    return torch.where(_areas(corners)[..., None, None] < 0, corners.flip(-2), corners)


def _write_overlaps(
    corners_of: Callable[[Tensor], Tensor],
    boxes1: Tensor,
    boxes2: Tensor,
    ious: Tensor,
    mode: int,
    aligned: bool,
) -> None:
    first, second = corners_of(boxes1), corners_of(boxes2)
    if aligned:
        ious.copy_(_overlaps(first, second, mode))
        return
    step = max(CHUNK // max(len(second), 1), 1)
    rows = ious.view(len(first), len(second))
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        rows[part] = _overlaps(first[part, None], second, mode).to(ious.dtype)


def _kept(
    corners_of: Callable[[Tensor], Tensor],
    dets: Tensor,
    columns: int,
    threshold: float,
    multi_label: bool,
) -> Tensor:
    overlaps = dets.new_zeros(len(dets) ** 2)
    _write_overlaps(corners_of, dets[:, :columns], dets[:, :columns], overlaps, 0, False)
    rivals = overlaps.view(len(dets), len(dets)) > threshold
    if multi_label:
        rivals &= dets[:, columns, None] == dets[:, columns]
    rivals, kept = rivals.cpu(), torch.ones(len(dets), dtype=torch.bool)
    for index in range(len(dets)):
        if kept[index]:
            kept[index + 1 :] &= ~rivals[index, index + 1 :]
    return kept.to(dets.device)


def _overlaps(first: Tensor, second: Tensor, mode: int) -> Tensor:
    # Near the origin, where coordinates are exact.
    origin = first.mean(-2, keepdim=True)
    first, second = torch.broadcast_tensors(first - origin, second - origin)
    areas = _areas(first), _areas(second)
    shared = _boundary(first, second, True) + _boundary(second, first, False)
    shared = shared.clamp(min=0).minimum(torch.minimum(*areas))
    whole = areas[0] if mode else areas[0] + areas[1] - shared
    none = (areas[0] < SMALLEST) | (areas[1] < SMALLEST)
    return (shared / whole).masked_fill(none, 0)


def _areas(corners: Tensor) -> Tensor:
    return _cross(corners, corners.roll(-1, -2)).sum(-1) / 2


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _boundary(polygon: Tensor, other: Tensor, with_common: bool) -> Tensor:
    """What a polygon's edges inside another add to the area of both's intersection.

    By Green's theorem that area is the integral of ``x dy - y dx`` along its
    boundary over two; the boundary is the part of each polygon's edges that
    lies inside the other. An edge that both share counts once.

    Args:
        polygon: Corners, (..., 4, 2), convex, turning x towards y.
        other: The same.
        with_common: Whether to count edges that lie on an edge of ``other``.

    Returns:
        (...).
    """
    ends = polygon.roll(-1, -2)
    sides = other.roll(-1, -2) - other
    # How far inside each of the other's sides (last axis) an edge starts and ends.
    start, end = (
        _cross(sides[..., None, :, :], points[..., :, None, :] - other[..., None, :, :])
        for points in (polygon, ends)
    )
    size = TOLERANCE * (sides.square().sum(-1) + polygon.square().sum(-1).amax(-1, True))
    on_line = torch.maximum(start.abs(), end.abs()) <= size[..., None, :]
    along = ((ends - polygon)[..., :, None, :] * sides[..., None, :, :]).sum(-1) > 0
    crossing = start / torch.where(start == end, 1, start - end)
    low = torch.where(~on_line & (start < 0), crossing, 0).amax(-1)
    high = torch.where(~on_line & (end < 0), crossing, 1).amin(-1)
    outside = ~on_line & (start < 0) & (end < 0) | on_line & ~(along & with_common)
    length = (high - low).clamp(min=0).masked_fill(outside.any(-1), 0)
    return (_cross(polygon, ends) * length).sum(-1) / 2
