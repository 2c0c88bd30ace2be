"""Names on small plates beside their boxes, where they hide least."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .rectangles import fill_rectangle, paint
from .text import load_font

# What a plate costs that hides all of another one; hiding all of a box
# costs 1.
_HIDDEN_NAME = 1000.0
# What the next best place costs: rows above the box come first.
_NEXT_PLACE = 0.02


def write_chips(
    canvas: np.ndarray,
    boxes: np.ndarray,
    texts: Sequence[tuple[str, str]],
    colours: Sequence[Sequence[int]],
    font_size: int,
) -> None:
    """Write a name beside each box; small boxes choose their places first.

    Args:
        canvas: (H, W, 3) float, RGB, changed in place.
        boxes: (N, 4), left, top, right, bottom, outlines included (pixels).
        texts: Of each box, what is cut if it is too long, and what follows
            it and is not cut.
        colours: Of each box, RGB, 0 to 255.
        font_size: Height of the letters (pixels).
    """
    font, pad = load_font(font_size), max(2, round(font_size / 4))
    height = round(font_size * 1.35)
    if height > canvas.shape[0]:
        return
    widest = min(canvas.shape[1], max(canvas.shape[1] / 2, 12 * font_size))
    taken: list[np.ndarray] = []
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    chosen = []
    for i in np.argsort(areas, kind='stable'):
        text = _fitting(*texts[i], widest - 2 * pad, font)
        if not text:
            continue
        width = int(np.ceil(font.getlength(text))) + 2 * pad
        places = _places(boxes[i], width, height, canvas.shape)
        cost = _NEXT_PLACE * np.arange(len(places))
        cost += _covered(places, boxes).sum(1)
        if taken:
            others = np.stack(taken)
            cost += _HIDDEN_NAME * _covered(places, others).sum(1)
        place = places[cost.argmin()]
        taken.append(place)
        chosen.append((place, text, colours[i]))
    for place, text, colour in reversed(chosen):
        _write(canvas, place, text, colour, font, pad)


def _fitting(name: str, rest: str, width: float, font: ImageFont.FreeTypeFont) -> str | None:
    """As much of a name as fits; ``None`` if nothing does."""
    # A line feed or half a character would stop the drawing.
    name = ' '.join(name.split())
    name = ''.join(c if c.isprintable() else '\ufffd' for c in name)
    text = f'{name} {rest}'.strip()
    if font.getlength(text) <= width:
        return text
    # The width grows with each letter, so half of the rest is tried.
    low, high = 0, len(name)
    while low < high:
        middle = (low + high + 1) // 2
        fits = font.getlength(f'{name[:middle]}… {rest}'.strip()) <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    text = f'{name[:low].rstrip()}… {rest}'.strip() if low else rest
    return text if font.getlength(text) <= width else None


def _places(box: np.ndarray, width: int, height: int, shape: Sequence[int]) -> np.ndarray:
    """Where a plate may stand, (K, 4), the best first, in the picture."""
    left, top, right, bottom = box.round()
    above, below = top - height, bottom
    free = right - left - width
    ends, between = (0, free), (free / 2, free / 4, free * 3 / 4)
    corners = [(left + x, above) for x in (*ends, between[0])]
    corners += [(left + x, y) for y in (below, top, bottom - height) for x in ends]
    sides = (top, bottom - height, (top + bottom - height) / 2)
    corners += [(x, y) for y in sides for x in (right, left - width)]
    corners += [(left + x, y) for y in (above, below, top, bottom - height) for x in between]
    for step in (1, 2, 3):
        corners += [
            (left + x, y) for x in ends for y in (above - step * height, below + step * height)
        ]
    corners = np.array(corners).round()
    space = (shape[1] - width, shape[0] - height)
    corners = np.clip(corners, 0, space)
    return np.concatenate((corners, corners + (width, height)), axis=1)


def _covered(places: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """How much of each box (N, 4) each place (K, 4) covers, (K, N)."""
    first = np.maximum(places[:, None, :2], boxes[None, :, :2])
    last = np.minimum(places[:, None, 2:], boxes[None, :, 2:])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return (last - first).clip(0).prod(2) / areas.clip(1)


def _write(
    canvas: np.ndarray,
    place: np.ndarray,
    text: str,
    colour: Sequence[int],
    font: ImageFont.FreeTypeFont,
    pad: int,
) -> None:
    """Draw a plate of a colour, and a text on it that can be read."""
    left, top, right, bottom = place.astype(int)
    fill_rectangle(canvas, place, colour, radius=(bottom - top) / 6)
    letters = Image.new('L', (right - left, bottom - top))
    middle = (bottom - top) / 2
    ImageDraw.Draw(letters).text((pad, middle), text, fill=255, font=font, anchor='lm')
    ink = (0, 0, 0) if _is_bright(colour) else (255, 255, 255)
    paint(canvas, top, left, np.asarray(letters, np.float32) / 255, ink)


def _is_bright(colour: Sequence[int]) -> bool:
    """Whether black has more contrast to a colour than white (WCAG 2)."""
    linear = (np.asarray(colour[:3], float) / 255) ** 2.2
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    # (luminance + .05) / .05 > 1.05 / (luminance + .05)
    return luminance > 0.179
