"""Class names written into the regions that they belong to."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from .masks import as_rgb
from .text import load_font


def write_names(
    image: np.ndarray, mask: np.ndarray, classes: Sequence[str], font_size: int | None = None
) -> np.ndarray:
    """Write each class name once, inside the class's largest region.

    Regions too small for a letter stay without a name.

    Args:
        image: (H, W, 3) or (H, W) uint8.
        mask: (H, W) integers; labels without a name are passed over.
        classes: Class names, in the order of the labels.
        font_size: Height of the letters (pixels); ``None`` follows the size
            of the picture.

    Returns:
        (H, W, 3) uint8.
    """
    picture = Image.fromarray(as_rgb(image))
    size = font_size or max(10, min(picture.size) // 28)
    draw = ImageDraw.Draw(picture)
    for label, centre, radius in _centres(mask, len(classes)):
        if 2 * radius >= size:
            draw.text(
                centre,
                classes[label],
                fill='white',
                font=load_font(size),
                anchor='mm',
                stroke_width=max(1, size // 10),
                stroke_fill='black',
            )
    return np.asarray(picture)


def _centres(mask: np.ndarray, num_classes: int) -> Iterator[tuple[int, tuple[int, int], float]]:
    """Label, (x, y) of the innermost pixel and its distance to the border."""
    for label in np.unique(mask):
        if not 0 <= label < num_classes:
            continue
        region = (mask == label).astype(np.uint8)
        # The border of the picture bounds a region too.
        inside = cv2.distanceTransform(np.pad(region, 1), cv2.DIST_L2, cv2.DIST_MASK_3)[1:-1, 1:-1]
        y, x = np.unravel_index(inside.argmax(), inside.shape)
        yield int(label), (int(x), int(y)), float(inside[y, x])
