"""Images side by side under their titles."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .fonts import load_font
from .overlay import as_rgb


def image_grid(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    legend: np.ndarray | None = None,
    gap: int = 6,
    font_size: int = 16,
) -> np.ndarray:
    """Arrange images in rows, one title above each column.

    Each cell has the size of the largest image; smaller images are centered
    on white and nothing is scaled.

    Args:
        rows: Rows of images, each (H, W, 3) or (H, W) uint8 RGB; every row
            holds as many as there are titles.
        titles: One per column; empty strings reserve no line for titles.
        legend: Image below the grid, such as that of :func:`class_legend`;
            ``None`` for none.
        gap: Space between cells (pixels).
        font_size: Height of the letters of the titles (pixels).

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: If there is no image, or a row is longer or shorter than
            ``titles``.
    """
    if not rows or not titles:
        raise ValueError('rows and titles must hold at least one image')
    for index, row in enumerate(rows):
        if len(row) != len(titles):
            raise ValueError(
                f'rows[{index}] holds {len(row)} images, but there are {len(titles)} titles'
            )
    cells = [[as_rgb(image) for image in row] for row in rows]
    height = max(image.shape[0] for row in cells for image in row)
    width = max(image.shape[1] for row in cells for image in row)
    head = round(font_size * 1.6) if any(titles) else 0
    canvas = _canvas(
        len(cells) * (height + gap) + gap + head, len(titles) * (width + gap) + gap, legend
    )

    for r, row in enumerate(cells):
        for c, image in enumerate(row):
            top = head + gap + r * (height + gap)
            left = gap + c * (width + gap)
            top += (height - image.shape[0]) // 2
            left += (width - image.shape[1]) // 2
            canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    if head:
        _write_titles(canvas[:head], titles, gap, width, font_size)
    return canvas


def _canvas(height: int, width: int, legend: np.ndarray | None) -> np.ndarray:
    """A white image with the legend, if any, below ``height`` rows."""
    if legend is None:
        return np.full((height, width, 3), 255, np.uint8)
    legend = as_rgb(legend)
    size = (height + legend.shape[0], max(width, legend.shape[1]), 3)
    canvas = np.full(size, 255, np.uint8)
    canvas[height:, : legend.shape[1]] = legend
    return canvas


def _write_titles(
    band: np.ndarray, titles: Sequence[str], gap: int, width: int, font_size: int
) -> None:
    """Write each title into ``band`` (h, W, 3), centered on its column."""
    canvas = Image.fromarray(band)
    draw = ImageDraw.Draw(canvas)
    for index, title in enumerate(titles):
        center = gap + index * (width + gap) + width // 2
        draw.text(
            (center, band.shape[0] // 2 + gap // 2),
            title,
            fill='black',
            font=load_font(font_size),
            anchor='mm',
        )
    band[:] = np.asarray(canvas)
