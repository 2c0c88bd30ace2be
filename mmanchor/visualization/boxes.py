"""Boxes with their names and scores."""
from typing import List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw

from .masks import as_rgb
from .text import load_font

Rectangle = Tuple[int, int, int, int]  # Left, top, right, bottom (pixels).

# The luminance of a colour (ITU-R BT.601) above which black is readable.
_BRIGHT = 140


def draw_boxes(image: np.ndarray,
               boxes: np.ndarray,
               labels: Sequence[int],
               classes: Sequence[str],
               palette: Sequence[Sequence[int]],
               scores: Optional[Sequence[float]] = None,
               opacity: float = 0.15,
               font_size: Optional[int] = None) -> np.ndarray:
    """Draw boxes, their names and their scores.

    Small boxes lie over large ones. Names stand where they hide no other
    name, as far as there is such a place, and within the picture.

    Args:
        image: (H, W, 3) or (H, W) uint8, RGB.
        boxes: (N, 4), left, top, right, bottom in pixels; what lies outside
            the picture is cut.
        labels: Class index of each box.
        classes: Class names, in the order of the labels.
        palette: A colour (RGB, 0 to 255) per class.
        scores: Of each box, 0 to 1, written as percent; ``None`` for none.
        opacity: Weight of the colour inside a box, 0 to 1.
        font_size: Height of the letters (pixels); ``None`` follows the size
            of the picture, 0 writes no names.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: If there are more or fewer labels or scores than boxes.
    """
    picture = Image.fromarray(as_rgb(image)).convert('RGB')
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    for name, values in (('labels', labels), ('scores', scores)):
        if values is not None and len(values) != len(boxes):
            raise ValueError(f'{name} must hold one value for each of the '
                             f'{len(boxes)} boxes, got {len(values)}')
    size = max(10, min(picture.size) // 28) if font_size is None else font_size
    width = max(1, round(min(picture.size) / 160))
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1)
    found = []
    for i in np.argsort(-areas, kind='stable'):
        box = _within(boxes[i], picture.size)
        if box is not None:
            found.append((int(i), box, tuple(palette[labels[i]])))

    fill = picture.copy()
    draw = ImageDraw.Draw(fill)
    for _, box, colour in found:
        draw.rectangle(box, fill=colour)
    picture = Image.blend(picture, fill, opacity)
    draw = ImageDraw.Draw(picture)
    for _, box, colour in found:
        draw.rectangle(box, outline=colour, width=width)
    if size > 0:
        taken: List[Rectangle] = []
        for i, box, colour in found:
            text = classes[labels[i]]
            if scores is not None:
                text += f' {100 * scores[i]:.0f}'
            taken.append(
                _write_chip(draw, text, box, colour, size, picture.size,
                            taken))
    return np.asarray(picture)


def _within(box: np.ndarray, size: Tuple[int, int]) -> Optional[Rectangle]:
    """The part of a box that is in a picture (W, H); ``None`` if none is."""
    if not np.isfinite(box).all():
        return None
    limits = np.array([*size, *size])
    if (box[:2] >= limits[:2]).any() or (box[2:] < 0).any():
        return None
    left, top, right, bottom = np.clip(box.round(), 0, limits - 1).astype(int)
    return left, top, max(left, right), max(top, bottom)


def _write_chip(draw: ImageDraw.ImageDraw, text: str, box: Rectangle,
                colour: Tuple[int, ...], font_size: int, size: Tuple[int, int],
                taken: List[Rectangle]) -> Rectangle:
    """Write ``text`` on a chip near its box; where the chip is."""
    font, pad = load_font(font_size), max(1, font_size // 6)
    width = round(draw.textlength(text, font=font)) + 2 * pad
    height = round(font_size * 1.2) + pad
    left, top, right, bottom = box
    # Above the box, then in it, then below it; at its left, then its right.
    corners = [(x, y) for y in (top - height, top, bottom - height, bottom)
               for x in (left, right - width)]
    places = []
    for x, y in corners:
        x = min(max(x, 0), max(size[0] - width, 0))
        y = min(max(y, 0), max(size[1] - height, 0))
        places.append((x, y, x + width, y + height))
    place = min(
        places, key=lambda at: sum(_overlap(at, other) for other in taken))
    draw.rectangle((*place[:2], place[2] - 1, place[3] - 1), fill=colour)
    luminance = np.dot(colour[:3], (.299, .587, .114))
    draw.text((place[0] + pad, (place[1] + place[3]) / 2),
              text,
              fill='black' if luminance > _BRIGHT else 'white',
              font=font,
              anchor='lm')
    return place


def _overlap(a: Rectangle, b: Rectangle) -> int:
    """Common area of two rectangles, in pixels."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)
