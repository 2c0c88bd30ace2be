"""Boxes with their class names and scores."""

from collections.abc import Sequence

import cv2
import numpy as np

from .labels import write_labels
from .overlay import as_rgb
from .palette import Palette

_SHADE_OPACITY = 0.3
# OpenCV takes coordinates in fractions of a pixel as integers: 1/16 here.
_SHIFT = 4


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: Sequence[int],
    classes: Sequence[str],
    palette: Palette,
    scores: Sequence[float] | None = None,
    opacity: float = 0.15,
    font_size: int | None = None,
    dashed: bool = False,
) -> np.ndarray:
    """Draw boxes, their class names and their scores.

    Small boxes are drawn over large ones. Names stay inside the image and are
    placed where they hide no other name and as little as possible of the
    boxes.

    Args:
        image: (H, W, 3) or (H, W) uint8, RGB. Nothing is scaled, so enlarge
            small images, and their boxes, before.
        boxes: (N, 4), left, top, right, bottom in pixels; clipped to the
            image. Boxes that are not finite are skipped.
        labels: Class index of each box.
        classes: Class names, in the order of the labels.
        palette: A color (RGB, 0 to 255) per class.
        scores: Of each box, 0 to 1, written as percent; ``None`` for none.
        opacity: Weight of the color inside a box, 0 to 1.
        font_size: Height of the letters (pixels); ``None`` chooses it by the
            size of the image and the number of boxes, 0 writes no names.
        dashed: Draw dashed outlines, for example for the ground truth beside
            predictions.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: If there are more or fewer labels or scores than boxes,
            or ``opacity`` is outside [0, 1].
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f'opacity must be between 0 and 1, got {opacity}')
    image = as_rgb(image)
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    for name, values in (('labels', labels), ('scores', scores)):
        if values is not None and len(values) != len(boxes):
            raise ValueError(
                f'{name} must hold one value for each of the {len(boxes)} boxes, got {len(values)}'
            )
    side = min(image.shape[:2])
    width = max(1, round(0.7 + side / 350))
    order, boxes = _visible(boxes, image.shape, width)
    labels = [int(labels[i]) for i in order]
    colors = [tuple(map(int, palette[label])) for label in labels]

    canvas = _fill(image, boxes, colors, opacity)
    _outline(canvas, boxes, colors, width, dashed)
    if font_size is None:
        font_size = _font_size(side, len(boxes))
    if font_size > 0:
        rest = [''] * len(order) if scores is None else [f'{100 * scores[i]:.0f}%' for i in order]
        texts = [(classes[label], end) for label, end in zip(labels, rest, strict=True)]
        around = boxes + (width + 1) / 2 * np.array([-1, -1, 1, 1])
        canvas = write_labels(canvas, around, texts, colors, font_size)
    return canvas


def write_caption(image: np.ndarray, name: str, rest: str, color: Sequence[int]) -> np.ndarray:
    """Write a name on a plate in the upper left corner of an image.

    Args:
        image: (H, W, 3) or (H, W) uint8, RGB.
        name: Shortened if it is too long for the image.
        rest: Text behind the name that is never shortened.
        color: Of the plate, RGB, 0 to 255.

    Returns:
        (H, W, 3) uint8, RGB; an image too small for letters is unchanged.
    """
    image = as_rgb(image)
    height, width = image.shape[:2]
    whole = np.array([[0, 0, width, height]], float)
    size = _font_size(min(height, width), 1)
    return write_labels(image, whole, [(name, rest)], [tuple(map(int, color))], size)


def _font_size(side: int, num_boxes: int) -> int:
    """Height of letters for an image; many boxes get smaller letters."""
    crowd = min(1, (20 / max(num_boxes, 1)) ** 0.25)
    return max(10, round((6 + side / 54) * crowd))


def _visible(boxes: np.ndarray, shape: Sequence[int], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the boxes, large ones first, and their parts in the image.

    The outline of a box that extends beyond the image, ``width`` pixels wide,
    runs along the inside of the border.
    """
    size = np.array([shape[1], shape[0]])
    known = np.isfinite(boxes).all(1)
    known &= (boxes[:, :2] < size).all(1) & (boxes[:, 2:] > 0).all(1)
    order = known.nonzero()[0]
    low = np.minimum(width / 2, size / 2)
    limits = np.array([low, size - low])[:, [0, 1, 0, 1]]
    boxes = boxes[order].clip(*limits)
    boxes[:, 2:] = np.maximum(boxes[:, :2], boxes[:, 2:])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    by_area = np.argsort(-areas, kind='stable')
    return order[by_area], boxes[by_area]


def _fill(
    image: np.ndarray, boxes: np.ndarray, colors: Sequence[tuple[int, ...]], opacity: float
) -> np.ndarray:
    """A copy of the image with filled boxes, small ones over large ones."""
    fill = image.copy()
    for (left, top, right, bottom), color in zip(boxes.round().astype(int), colors, strict=True):
        fill[top:bottom, left:right] = color
    return cv2.addWeighted(fill, opacity, image, 1 - opacity, 0)


def _outline(
    canvas: np.ndarray,
    boxes: np.ndarray,
    colors: Sequence[tuple[int, ...]],
    width: int,
    dashed: bool,
) -> None:
    """Draw the outlines, on a shade that sets them off from the image."""
    dash = 4 + 4 * width if dashed else 0
    shade = canvas.copy()
    for box in boxes:
        _rectangle(shade, box, (0, 0, 0), width + 1, dash)
    cv2.addWeighted(shade, _SHADE_OPACITY, canvas, 1 - _SHADE_OPACITY, 0, canvas)
    for box, color in zip(boxes, colors, strict=True):
        _rectangle(canvas, box, color, width, dash)


def _rectangle(
    canvas: np.ndarray, box: np.ndarray, color: tuple[int, ...], width: int, dash: float
) -> None:
    """Draw one outline; the box is the middle of the line."""
    # OpenCV's integer coordinates are pixel centers, ours are pixel edges.
    left, top, right, bottom = box - 0.5
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    sides = list(zip(corners, corners[1:] + corners[:1], strict=True))
    if dash:
        sides = [part for start, end in sides for part in _dashes(start, end, dash)]
    for ends in sides:
        start, end = (tuple(round(value * 2**_SHIFT) for value in point) for point in ends)
        cv2.line(canvas, start, end, color, width, cv2.LINE_AA, _SHIFT)


def _dashes(start: Sequence[float], end: Sequence[float], length: float) -> list[tuple]:
    """Parts of a line, a dash at each end of it."""
    start, end = np.array(start), np.array(end)
    number = 2 * max(1, round(np.abs(end - start).max() / (2 * length))) + 1
    at = np.linspace(0, 1, number + 1)[:, None]
    points = start + at * (end - start)
    return list(zip(points[:-1:2], points[1::2], strict=True))
