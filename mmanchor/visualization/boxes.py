"""Boxes with their names and scores."""

from collections.abc import Sequence

import numpy as np

from .chips import write_chips
from .masks import as_rgb
from .rectangles import outline_rectangle

_SHADE = (0, 0, 0)
_SHADE_OPACITY = 0.3


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: Sequence[int],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    scores: Sequence[float] | None = None,
    opacity: float = 0.15,
    font_size: int | None = None,
    dashed: bool = False,
) -> np.ndarray:
    """Draw boxes, their names and their scores.

    Small boxes lie over large ones. Names stand within the picture, where
    they hide no other name and little of the boxes, as far as there is such
    a place; what does not fit into the picture is cut.

    Args:
        image: (H, W, 3) or (H, W) uint8, RGB. Nothing is scaled, so enlarge
            small pictures, and their boxes, before.
        boxes: (N, 4), left, top, right, bottom in pixels; what lies outside
            the picture is cut. Boxes that are not finite are left out.
        labels: Class index of each box.
        classes: Class names, in the order of the labels.
        palette: A colour (RGB, 0 to 255) per class.
        scores: Of each box, 0 to 1, written as percent; ``None`` for none.
        opacity: Weight of the colour inside a box, 0 to 1.
        font_size: Height of the letters (pixels); ``None`` follows the size
            of the picture and the number of boxes, 0 writes no names.
        dashed: Draw dashed outlines, such as for the truth beside what was
            found.

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
    width = max(1.5, 1 + side / 240)
    order, boxes = _visible(boxes, image.shape, width)
    labels = [int(labels[i]) for i in order]
    colours = [tuple(map(int, palette[label])) for label in labels]

    canvas = _fill(image, boxes, colours, opacity)
    for box, colour in zip(boxes, colours):
        _outline(canvas, box, colour, width, dashed)
    if font_size is None:
        font_size = _font_size(side, len(boxes))
    if font_size > 0:
        rest = [''] * len(order) if scores is None else [f'{100 * scores[i]:.0f}%' for i in order]
        texts = [(classes[label], end) for label, end in zip(labels, rest)]
        around = boxes + width / 2 * np.array([-1, -1, 1, 1])
        write_chips(canvas, around, texts, colours, font_size)
    return canvas.round().astype(np.uint8)


def write_caption(image: np.ndarray, name: str, rest: str, colour: Sequence[int]) -> np.ndarray:
    """Write a name on a plate into the upper left corner of a picture.

    Args:
        image: (H, W, 3) or (H, W) uint8, RGB.
        name: What is cut if it is too long for the picture.
        rest: What follows it and is not cut.
        colour: Of the plate, RGB, 0 to 255.

    Returns:
        (H, W, 3) uint8, RGB; a picture too small for letters as it was.
    """
    canvas = as_rgb(image).astype(np.float32)
    height, width = canvas.shape[:2]
    whole = np.array([[0, 0, width, height]], float)
    write_chips(
        canvas, whole, [(name, rest)], [tuple(map(int, colour))], _font_size(min(height, width), 1)
    )
    return canvas.round().astype(np.uint8)


def _font_size(side: int, num_boxes: int) -> int:
    """A height of letters for a picture; crowds get smaller ones."""
    crowd = min(1, (20 / max(num_boxes, 1)) ** 0.25)
    return max(10, round((6 + side / 54) * crowd))


def _visible(
    boxes: np.ndarray, shape: Sequence[int], width: float
) -> tuple[np.ndarray, np.ndarray]:
    """Large boxes first: their numbers, and the parts in the picture.

    The lines of boxes that stick out, ``width`` pixels wide, run along the
    inside of the picture's border.
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
    image: np.ndarray, boxes: np.ndarray, colours: Sequence[tuple[int, ...]], opacity: float
) -> np.ndarray:
    """A float copy of a picture, boxes filled; small ones over large."""
    fill = image.astype(np.float32)
    for (left, top, right, bottom), colour in zip(boxes.round().astype(int), colours):
        fill[top:bottom, left:right] = colour
    return fill * opacity + image * np.float32(1 - opacity)


def _outline(
    canvas: np.ndarray, box: np.ndarray, colour: tuple[int, ...], width: float, dashed: bool
) -> None:
    """Draw a line with a shade that parts it from what has its colour."""
    look = dict(radius=width, dash=4 * width if dashed else 0)
    outline_rectangle(canvas, box, _SHADE, width + 2, opacity=_SHADE_OPACITY, **look)
    outline_rectangle(canvas, box, colour, width, **look)
