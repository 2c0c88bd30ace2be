"""From the outputs of a graph to boxes, masks and class names."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass
class Boxes:
    """Detections of an image, best first.

    Args:
        boxes: (N, 4), corners (x1, y1, x2, y2) in pixels of the image.
        scores: (N,), in [0, 1].
        labels: (N,), numbers of the classes.
        names: Names of the classes.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: list[str]


@dataclass
class Mask:
    """Segmentation of an image.

    Args:
        mask: (H, W), the number of each pixel's class.
        names: Names of all classes, by number.
    """

    mask: np.ndarray
    names: list[str]


@dataclass
class Labels:
    """Classification of an image.

    Args:
        scores: (classes,), sums to 1.
        label: The likeliest class.
        name: Its name.
    """

    scores: np.ndarray
    label: int
    name: str


def suppress(
    boxes: np.ndarray, scores: np.ndarray, iou_threshold: float, score_thr: float, nms_pre: int = -1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Greedy non-maximum suppression of each class by itself.

    A candidate is a pair of a prior and a class, so that a prior can be of two
    classes.

    Args:
        boxes: (P, 4).
        scores: (classes, P).
        iou_threshold: A box goes if its IoU with a better one exceeds this.
        score_thr: Candidates score above this.
        nms_pre: Best candidates that are kept before; -1 keeps all.

    Returns:
        Boxes (N, 4), scores (N,) and labels (N,), best first.

    Example:
        >>> boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 3.9], [5, 5, 9, 9]])
        >>> suppress(boxes, np.array([[0.9, 0.8, 0.7]]), 0.5, 0.1)[1]
        array([0.9, 0.7])
    """
    labels, places = np.nonzero(scores > score_thr)
    values = scores[labels, places]
    order = np.argsort(-values, kind='stable')
    order = order[:nms_pre] if nms_pre > 0 else order
    labels, values, boxes = labels[order], values[order], boxes[places[order]]
    kept: list[int] = []
    left = np.arange(len(values))
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        overlap = (labels[left] == labels[best]) & (
            box_ious(boxes[best], boxes[left]) > iou_threshold
        )
        left = left[~overlap]
    return boxes[kept], values[kept], labels[kept]


def box_ious(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of a box (4,) with others (N, 4), (N,)."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    inner = np.clip(high - low, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return inner / np.maximum((box[2:] - box[:2]).prod() + areas - inner, 1e-12)


def to_boxes(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    content: tuple[int, int],
    size: tuple[int, int],
    classes: Sequence[str],
    score_thr: float,
) -> Boxes:
    """Boxes of the network's input as boxes of the image.

    Args:
        boxes: (N, 4).
        scores: (N,), falling.
        labels: (N,).
        content: (height, width) of the image in the network's input.
        size: (height, width) of the image; boxes are cut at its border.
        classes: Names.
        score_thr: Boxes below this are left out.
    """
    chosen = scores >= score_thr
    factors = [new / old for new, old in zip(content, size, strict=True)]
    scale = np.array([factors[1], factors[0]] * 2, np.float32)
    limits = np.array([size[1], size[0]] * 2, np.float32)
    numbers = labels[chosen].astype(int)
    return Boxes(
        np.clip(boxes[chosen] / scale, 0, limits),
        scores[chosen],
        numbers,
        [classes[i] for i in numbers],
    )


def to_mask(
    output: np.ndarray, size: tuple[int, int], classes: Sequence[str], threshold: float = 0.5
) -> Mask:
    """Labels (h, w), or logits (classes, h, w), as a mask of the image.

    Logits are resized before the likeliest class is taken, as mmseg does it;
    labels go to the nearest pixel.

    Args:
        output: Of the graph.
        size: (H, W) of the image.
        classes: Names.
        threshold: Of the probability, for models with one output channel.
    """
    height, width = size
    if output.ndim == 2:
        mask = cv2.resize(output, (width, height), interpolation=cv2.INTER_NEAREST)
        return Mask(mask, list(classes))
    resized = [cv2.resize(plane, (width, height)) for plane in output]
    if len(resized) > 1:
        mask = np.argmax(resized, axis=0)
    else:
        mask = (resized[0] > np.log(threshold / (1 - threshold))).astype(int)
    return Mask(mask.astype(np.uint8 if len(classes) <= 256 else np.int32), list(classes))


def to_labels(logits: np.ndarray, classes: Sequence[str]) -> Labels:
    """Logits (classes,) as shares that sum to 1."""
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    label = int(shares.argmax())
    return Labels(shares, label, classes[label])
