"""A legend: color swatches with class names."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .fonts import load_font
from .palette import Palette


def class_legend(
    classes: Sequence[str], palette: Palette, width: int, font_size: int = 14
) -> np.ndarray:
    """Draw color swatches with class names, in as many lines as they need.

    Args:
        classes: Class names, in the order of the labels.
        palette: One RGB triple per class, at least as many as ``classes``.
        width: Width of the legend (pixels).
        font_size: Height of the letters (pixels).

    Returns:
        (H, ``width``, 3) uint8, RGB on white; H depends on the names.
    """
    font = load_font(font_size)
    line, gap = round(font_size * 1.6), font_size // 2
    places, x, y = [], gap, 0
    for name in classes:
        needed = font_size + gap + int(font.getlength(name)) + 2 * gap
        if x > gap and x + needed > width:
            x, y = gap, y + line
        places.append((x, y))
        x += needed
    legend = Image.new('RGB', (width, y + line), 'white')
    draw = ImageDraw.Draw(legend)
    for name, color, (x, y) in zip(classes, palette, places, strict=False):
        top = y + (line - font_size) // 2
        draw.rectangle(
            (x, top, x + font_size, top + font_size),
            fill=tuple(int(value) for value in color),
            outline='black',
        )
        draw.text((x + font_size + gap, y + line // 2), name, fill='black', font=font, anchor='lm')
    return np.asarray(legend)
