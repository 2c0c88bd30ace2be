"""Class names on small plates beside their boxes."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .fonts import load_font

# The cost of a plate that hides another plate completely; hiding a box
# completely costs 1.
_HIDDEN_NAME = 1000.0
# The cost of each further candidate: places above the box come first.
_NEXT_PLACE = 0.02


def write_labels(
    image: np.ndarray,
    boxes: np.ndarray,
    texts: Sequence[tuple[str, str]],
    colors: Sequence[Sequence[int]],
    font_size: int,
) -> np.ndarray:
    """Write a name beside each box; small boxes choose their places first.

    Args:
        image: (H, W, 3) uint8, RGB.
        boxes: (N, 4), left, top, right, bottom, outlines included (pixels).
        texts: For each box a name, shortened if it is too long, and a text
            that is never shortened.
        colors: For each box, RGB, 0 to 255.
        font_size: Height of the letters (pixels).

    Returns:
        (H, W, 3) uint8, RGB.
    """
    font, pad = load_font(font_size), max(2, round(font_size / 4))
    height = round(font_size * 1.35)
    if height > image.shape[0]:
        return image.copy()
    widest = min(image.shape[1], max(image.shape[1] / 2, 12 * font_size))
    taken: list[np.ndarray] = []
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    chosen = []
    for i in np.argsort(areas, kind='stable'):
        text = _shorten(*texts[i], widest - 2 * pad, font)
        if not text:
            continue
        width = int(np.ceil(font.getlength(text))) + 2 * pad
        places = _places(boxes[i], width, height, image.shape)
        cost = _NEXT_PLACE * np.arange(len(places))
        cost += _covered(places, boxes).sum(1)
        if taken:
            cost += _HIDDEN_NAME * _covered(places, np.stack(taken)).sum(1)
        place = places[cost.argmin()]
        taken.append(place)
        chosen.append((place, text, colors[i]))
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    for place, text, color in reversed(chosen):
        _write(draw, place, text, tuple(map(int, color)), font, pad)
    return np.asarray(canvas)


def _shorten(name: str, rest: str, width: float, font: ImageFont.FreeTypeFont) -> str | None:
    """As much of a name as fits; ``None`` if nothing does."""
    # A line feed or half a surrogate pair would stop the drawing.
    name = ' '.join(name.split())
    name = ''.join(c if c.isprintable() else '\ufffd' for c in name)
    text = f'{name} {rest}'.strip()
    if font.getlength(text) <= width:
        return text
    # Bisection: the width grows with each letter.
    low, high = 0, len(name)
    while low < high:
        middle = (low + high + 1) // 2
        fits = font.getlength(f'{name[:middle]}… {rest}'.strip()) <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    text = f'{name[:low].rstrip()}… {rest}'.strip() if low else rest
    return text if font.getlength(text) <= width else None


def _places(box: np.ndarray, width: int, height: int, shape: Sequence[int]) -> np.ndarray:
    """Candidate places of a plate inside the image, (K, 4), best first."""
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
    return np.concatenate((corners, corners + np.array((width, height))), axis=1)


def _covered(places: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The fraction of each box (N, 4) that each place (K, 4) covers, (K, N)."""
    first = np.maximum(places[:, None, :2], boxes[None, :, :2])
    last = np.minimum(places[:, None, 2:], boxes[None, :, 2:])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return (last - first).clip(0).prod(2) / areas.clip(1)


def _write(
    draw: ImageDraw.ImageDraw,
    place: np.ndarray,
    text: str,
    color: tuple[int, ...],
    font: ImageFont.FreeTypeFont,
    pad: int,
) -> None:
    """Draw a plate with a text on it, black or white."""
    left, top, right, bottom = place.astype(int).tolist()
    draw.rectangle((left, top, right - 1, bottom - 1), fill=color)
    ink = 'black' if _is_bright(color) else 'white'
    draw.text((left + pad, (top + bottom) / 2), text, fill=ink, font=font, anchor='lm')


def _is_bright(color: Sequence[int]) -> bool:
    """Whether black has more contrast to a color than white (WCAG 2)."""
    linear = (np.asarray(color[:3], float) / 255) ** 2.2
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    # (luminance + .05) / .05 > 1.05 / (luminance + .05)
    return luminance > 0.179
