"""Suppression of boxes that overlap better ones: greedy, soft, and matching."""

import numpy as np
import torch
from torch import Tensor

from .common import OPS, in_one_precision

NAIVE, LINEAR, GAUSSIAN = range(3)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4), corners (x1, y1, x2, y2) in pixels.
        scores: (N,).
        iou_threshold: A box goes if its IoU with a better one exceeds this.
        offset: 0, or 1 where a side is ``x2 - x1 + 1`` pixels long.

    Returns:
        Indices of the boxes kept, best first, (K,), int64.
    """
    boxes, scores = in_one_precision(boxes, scores)
    # Sides of x2 - x1 + 1 are those of a box whose far corner lies 1 further.
    boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return OPS.nms(boxes, scores, float(iou_threshold))


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of boxes that overlap better ones (arXiv 1704.04503).

    Args:
        boxes: (N, 4), corners in pixels, on the CPU.
        scores: (N,).
        dets: (N, 5); its first K rows receive the boxes kept and their
            lowered scores, best first.
        iou_threshold: IoU from which methods 0 and 1 lower a score.
        sigma: Width of the Gaussian of method 2.
        min_score: A box goes once its score is below this.
        method: 0 removes, 1 multiplies with ``1 - IoU``, 2 multiplies with
            ``exp(-IoU ** 2 / sigma)``.
        offset: 0, or 1 where a side is ``x2 - x1 + 1`` pixels long.

    Returns:
        Indices of the boxes kept, (K,), int64.
    """
    corners, points = (tensor.numpy() for tensor in in_one_precision(boxes, scores))
    points = points.copy()
    order = np.arange(len(points))
    done = 0
    while done < len(order):
        best = done + int(points[order[done:]].argmax())
        order[[done, best]] = order[[best, done]]
        first, rest = order[done], order[done + 1 :]
        overlaps = _overlaps(corners[first], corners[rest], offset)
        points[rest] *= _soft_weights(overlaps, iou_threshold, sigma, method)
        order = np.concatenate([order[: done + 1], _fill_holes(rest, ~(points[rest] < min_score))])
        done += 1
    kept = torch.from_numpy(order)
    dets[: len(kept), :4] = boxes[kept]
    dets[: len(kept), 4] = torch.from_numpy(points)[kept]
    return kept


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Group each box that NMS keeps with those it suppresses.

    Args:
        dets: (N, 5), corners in pixels and a score.
        iou_threshold: A box goes if its IoU with a better one reaches this.

    Returns:
        One list for each box kept, best first: its index, then the indices of
        the boxes it suppresses.
    """
    values = in_one_precision(dets.cpu())[0].numpy()
    # A stable order, as torch's sort of few elements has.
    order = np.argsort(-values[:, 4], kind='stable')
    groups = []
    while len(order):
        first, rest = order[0], order[1:]
        matched = _overlaps(values[first, :4], values[rest, :4], 0) >= iou_threshold
        groups.append([int(first), *rest[matched].tolist()])
        order = rest[~matched]
    return groups


def bbox_overlaps(
    bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int
) -> None:
    """Write the IoU of boxes, or with ``mode`` 1 the share of the first box.

    Args:
        bboxes1: (M, 4), corners in pixels.
        bboxes2: (N, 4).
        ious: Receives the result, (M, N), or (M,) where ``aligned`` pairs the
            boxes.
        mode: 0 divides by the union, 1 by the area of the first box.
        aligned: Whether box i goes with box i only.
        offset: 0, or 1 where a side is ``x2 - x1 + 1`` pixels long.
    """
    first, second = in_one_precision(bboxes1, bboxes2)
    if not aligned:
        first = first[:, None]
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low + offset).clamp(min=0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2] + offset).prod(-1) for boxes in (first, second)]
    whole = areas[0] if mode else areas[0] + areas[1] - shared
    ious.copy_(shared / whole)


def _overlaps(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.maximum(high - low + offset, 0).prod(1)
    areas = (others[:, 2:] - others[:, :2] + offset).prod(1)
    # Boxes without area are compared with the compiled operator's 0 / 0.
    with np.errstate(invalid='ignore', divide='ignore'):
        return shared / ((box[2:] - box[:2] + offset).prod() + areas - shared)


def _soft_weights(overlaps: np.ndarray, threshold: float, sigma: float, method: int) -> np.ndarray:
    if method == GAUSSIAN:
        return np.exp(-(overlaps**2) / sigma)
    lowered = 0 if method == NAIVE else 1 - overlaps
    return np.where(overlaps >= threshold, lowered, 1).astype(overlaps.dtype)


def _fill_holes(indices: np.ndarray, kept: np.ndarray) -> np.ndarray:
    # A box that goes is replaced by the last one that stays: this decides
    # which of several equal scores comes first later on.
    count = int(kept.sum())
    filled = indices[:count].copy()
    filled[~kept[:count]] = indices[count:][kept[count:]][::-1]
    return filled
