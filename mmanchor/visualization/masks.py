"""Label maps as colours: a mask over its picture, and a legend of classes."""

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .text import load_font

Palette = Sequence[Sequence[int]]


def distinct_palette(num_classes: int) -> tuple[tuple[int, int, int], ...]:
    """Colours that neighbouring class indices tell apart.

    The hue goes round by the golden ratio, so that consecutive classes lie
    far from each other for any number of classes; brightness alternates.

    Args:
        num_classes: Number of colours, 0 or more.

    Returns:
        ``num_classes`` RGB triples, each value 0 to 255.

    Example:
        >>> len(set(distinct_palette(150)))
        150
    """
    if num_classes < 0:
        raise ValueError(f'num_classes must be 0 or more, got {num_classes}')
    colours = []
    for index in range(num_classes):
        hue = index * 0.6180339887498949 % 1
        value = (0.95, 0.7, 0.5)[index % 3]
        rgb = colorsys.hsv_to_rgb(hue, 0.75, value)
        colours.append(tuple(round(255 * channel) for channel in rgb))
    return tuple(colours)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """A picture as (H, W, 3) uint8; a grey (H, W) one gets three channels.

    Args:
        image: (H, W) or (H, W, 3), uint8.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: If the shape or the type is another.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise ValueError(f'image must be uint8, got {image.dtype}')
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'image must be (H, W) or (H, W, 3), got {image.shape}')
    return image


def colour_mask(mask: np.ndarray, palette: Palette, ignore_index: int | None = 255) -> np.ndarray:
    """A label map in the colours of its classes; ignored pixels are black.

    Args:
        mask: (H, W) integers, class indices or ``ignore_index``.
        palette: One RGB triple per class, 0 to 255.
        ignore_index: Label that belongs to no class; ``None`` if there is
            none.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: If a label has no colour.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
        raise ValueError(f'mask must be (H, W) integers, got {mask.dtype} of shape {mask.shape}')
    colours = np.asarray(palette, dtype=np.uint8).reshape(-1, 3)
    known = np.ones(mask.shape, dtype=bool)
    if ignore_index is not None:
        known = mask != ignore_index
    labels = mask[known].astype(np.int64)
    if labels.size and (labels.min() < 0 or labels.max() >= len(colours)):
        raise ValueError(
            f'mask holds labels {labels.min()} to {labels.max()}, but palette '
            f'has {len(colours)} colours (0 to {len(colours) - 1})'
        )
    out = np.zeros((*mask.shape, 3), dtype=np.uint8)
    out[known] = colours[labels]
    return out


def overlay_mask(
    image: np.ndarray,
    mask: np.ndarray,
    palette: Palette,
    opacity: float = 0.6,
    ignore_index: int | None = 255,
) -> np.ndarray:
    """Lay the colours of a label map over its picture.

    Args:
        image: (H, W, 3) or (H, W) uint8; RGB if the palette is.
        mask: (H, W) integers, class indices or ``ignore_index``.
        palette: One RGB triple per class, 0 to 255.
        opacity: Weight of the colours, 0 (the picture) to 1 (the mask).
        ignore_index: Label whose pixels keep the picture; ``None`` if there
            is none.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: If the sizes differ, a label has no colour or ``opacity``
            is outside [0, 1].
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f'opacity must be between 0 and 1, got {opacity}')
    image = as_rgb(image)
    colours = colour_mask(mask, palette, ignore_index)
    if colours.shape != image.shape:
        raise ValueError(
            f'mask is {np.shape(mask)}, but image is {image.shape[:2]} (height, width)'
        )
    mixed = (1 - opacity) * image + opacity * colours
    out = np.round(mixed).astype(np.uint8)
    if ignore_index is not None:
        ignored = np.asarray(mask) == ignore_index
        out[ignored] = image[ignored]
    return out


def class_legend(
    classes: Sequence[str], palette: Palette, width: int, font_size: int = 14
) -> np.ndarray:
    """Colour swatches with class names, in as many lines as they need.

    Args:
        classes: Class names, in the order of the labels.
        palette: One RGB triple per class, at least as many as ``classes``.
        width: Width of the picture (pixels).
        font_size: Height of the letters (pixels).

    Returns:
        (H, ``width``, 3) uint8, RGB on white; H follows from the names.
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
    picture = Image.new('RGB', (width, y + line), 'white')
    draw = ImageDraw.Draw(picture)
    for name, colour, (x, y) in zip(classes, palette, places):
        top = y + (line - font_size) // 2
        draw.rectangle(
            (x, top, x + font_size, top + font_size),
            fill=tuple(int(value) for value in colour),
            outline='black',
        )
        draw.text((x + font_size + gap, y + line // 2), name, fill='black', font=font, anchor='lm')
    return np.asarray(picture)
