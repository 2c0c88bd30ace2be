"""Label maps as colors over their image, with class names."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from .fonts import load_font
from .palette import Palette


def as_rgb(image: np.ndarray) -> np.ndarray:
    """An image as (H, W, 3) uint8; a gray (H, W) one gets three channels.

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


def color_mask(mask: np.ndarray, palette: Palette, ignore_index: int | None = 255) -> np.ndarray:
    """Color a label map by class; ignored pixels are black.

    Args:
        mask: (H, W) integers, class indices or ``ignore_index``.
        palette: One RGB triple per class, 0 to 255.
        ignore_index: Label that belongs to no class; ``None`` if there is
            none.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: If a label has no color.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
        raise ValueError(f'mask must be (H, W) integers, got {mask.dtype} of shape {mask.shape}')
    colors = np.asarray(palette, dtype=np.uint8).reshape(-1, 3)
    known = np.ones(mask.shape, dtype=bool)
    if ignore_index is not None:
        known = mask != ignore_index
    labels = mask[known].astype(np.int64)
    if labels.size and (labels.min() < 0 or labels.max() >= len(colors)):
        raise ValueError(
            f'mask holds labels {labels.min()} to {labels.max()}, but palette '
            f'has {len(colors)} colors (0 to {len(colors) - 1})'
        )
    out = np.zeros((*mask.shape, 3), dtype=np.uint8)
    out[known] = colors[labels]
    return out


def overlay_mask(
    image: np.ndarray,
    mask: np.ndarray,
    palette: Palette,
    opacity: float = 0.6,
    ignore_index: int | None = 255,
) -> np.ndarray:
    """Blend the colors of a label map with its image.

    Args:
        image: (H, W, 3) or (H, W) uint8; RGB if the palette is.
        mask: (H, W) integers, class indices or ``ignore_index``.
        palette: One RGB triple per class, 0 to 255.
        opacity: Weight of the colors, 0 (the image) to 1 (the mask).
        ignore_index: Label whose pixels keep the image; ``None`` if there is
            none.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: If the sizes differ, a label has no color or ``opacity``
            is outside [0, 1].
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f'opacity must be between 0 and 1, got {opacity}')
    image = as_rgb(image)
    colors = color_mask(mask, palette, ignore_index)
    if colors.shape != image.shape:
        raise ValueError(
            f'mask is {np.shape(mask)}, but image is {image.shape[:2]} (height, width)'
        )
    mixed = (1 - opacity) * image + opacity * colors
    out = np.round(mixed).astype(np.uint8)
    if ignore_index is not None:
        ignored = np.asarray(mask) == ignore_index
        out[ignored] = image[ignored]
    return out


def write_names(
    image: np.ndarray, mask: np.ndarray, classes: Sequence[str], font_size: int | None = None
) -> np.ndarray:
    """Write each class name once, inside the largest region of the class.

    A region too small for a letter gets no name.

    Args:
        image: (H, W, 3) or (H, W) uint8.
        mask: (H, W) integers; labels without a name are skipped.
        classes: Class names, in the order of the labels.
        font_size: Height of the letters (pixels); ``None`` chooses it by the
            size of the image.

    Returns:
        (H, W, 3) uint8.
    """
    canvas = Image.fromarray(as_rgb(image))
    size = font_size or max(10, min(canvas.size) // 28)
    draw = ImageDraw.Draw(canvas)
    for label, center, radius in _centers(mask, len(classes)):
        if 2 * radius >= size:
            draw.text(
                center,
                classes[label],
                fill='white',
                font=load_font(size),
                anchor='mm',
                stroke_width=max(1, size // 10),
                stroke_fill='black',
            )
    return np.asarray(canvas)


def _centers(mask: np.ndarray, num_classes: int) -> Iterator[tuple[int, tuple[int, int], float]]:
    """Label, (x, y) of the innermost pixel and its distance to the border."""
    for label in np.unique(mask):
        if not 0 <= label < num_classes:
            continue
        region = (mask == label).astype(np.uint8)
        # The border of the image bounds a region too.
        inside = cv2.distanceTransform(np.pad(region, 1), cv2.DIST_L2, cv2.DIST_MASK_3)[1:-1, 1:-1]
        y, x = np.unravel_index(inside.argmax(), inside.shape)
        yield int(label), (int(x), int(y)), float(inside[y, x])
