"""Pictures side by side under their titles."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .masks import as_rgb
from .text import load_font


def picture_grid(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    legend: np.ndarray | None = None,
    gap: int = 6,
    font_size: int = 16,
) -> np.ndarray:
    """Arrange pictures in rows, one title over each column.

    Cells take the size of the largest picture; smaller ones are centred on
    white and nothing is scaled.

    Args:
        rows: Rows of pictures, each (H, W, 3) or (H, W) uint8 RGB; every row
            holds as many as there are titles.
        titles: One per column; empty strings leave no line for titles.
        legend: Picture laid under the grid, such as that of
            :func:`class_legend`; ``None`` for none.
        gap: Space between cells (pixels).
        font_size: Height of the letters of the titles (pixels).

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: If there is no picture, or a row is longer or shorter
            than ``titles``.
    """
    if not rows or not titles:
        raise ValueError('rows and titles must hold at least one picture')
    for index, row in enumerate(rows):
        if len(row) != len(titles):
            raise ValueError(
                f'rows[{index}] holds {len(row)} pictures, but there are {len(titles)} titles'
            )
    cells = [[as_rgb(picture) for picture in row] for row in rows]
    height = max(picture.shape[0] for row in cells for picture in row)
    width = max(picture.shape[1] for row in cells for picture in row)
    head = round(font_size * 1.6) if any(titles) else 0
    canvas = _canvas(
        len(cells) * (height + gap) + gap + head, len(titles) * (width + gap) + gap, legend
    )

    for r, row in enumerate(cells):
        for c, picture in enumerate(row):
            top = head + gap + r * (height + gap)
            left = gap + c * (width + gap)
            top += (height - picture.shape[0]) // 2
            left += (width - picture.shape[1]) // 2
            canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    if head:
        _write_titles(canvas[:head], titles, gap, width, font_size)
    return canvas


def _canvas(height: int, width: int, legend: np.ndarray | None) -> np.ndarray:
    """A white picture with the legend, if any, below ``height`` rows."""
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
    """Write each title into ``band`` (h, W, 3), centred on its column."""
    picture = Image.fromarray(band)
    draw = ImageDraw.Draw(picture)
    for index, title in enumerate(titles):
        centre = gap + index * (width + gap) + width // 2
        draw.text(
            (centre, band.shape[0] // 2 + gap // 2),
            title,
            fill='black',
            font=load_font(font_size),
            anchor='mm',
        )
    band[:] = np.asarray(picture)
