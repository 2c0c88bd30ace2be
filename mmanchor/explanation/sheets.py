"""What all sheets share: cells of images in rows, heat maps, titles."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Perceptually even, and dark where nothing is.
HEAT = 'inferno'
_DIMMED = 0.35
# Inches and dots by inch: a cell is 2.5 * 130 = 325 dots wide.
_CELL, _DPI = 2.5, 130
_TITLE_LINE, _NOTE_LINE = 0.17, 0.15


@dataclass
class Cell:
    """One image of a sheet.

    Args:
        image: (H, W, 3) uint8, RGB; ``None`` leaves the cell empty.
        title: Above the image.
        note: Below the image, smaller.
        marks: Points (x, y) to mark, in pixels of the image.
        boxes: Boxes (left, top, right, bottom) to outline.
        color: Of a frame around the image, RGB; ``None`` for none.
    """

    image: np.ndarray | None = None
    title: str = ''
    note: str = ''
    marks: Sequence[tuple[float, float]] = ()
    boxes: Sequence[Sequence[float]] = ()
    color: Sequence[int] | None = None


@dataclass
class Row:
    """Cells beside each other, with a name before them.

    Args:
        name: What the row shows.
        cells: Its images.
    """

    name: str
    cells: list[Cell] = field(default_factory=list)


def heat_map(
    image: np.ndarray, values: np.ndarray, top: float | None = None, opacity: float = 0.72
) -> np.ndarray:
    """Lay a heat map over a gray image.

    Args:
        image: (H, W, 3) uint8, RGB.
        values: (H, W), from 0; NaN where nothing is known, which is dimmed.
        top: The value of the brightest color; ``None`` takes the largest.
        opacity: Weight of the colors, 0 to 1.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    known = np.isfinite(values)
    largest = float(values[known].max()) if known.any() else 0.0
    top = largest if top is None else top
    level = np.clip(np.nan_to_num(values) / top, 0, 1) if top > 0 else np.zeros(values.shape)
    colors = colormaps[HEAT](level)[..., :3]
    # White parts of the image would look like heat.
    gray = 0.75 * np.repeat(image.mean(axis=2, keepdims=True) / 255, 3, axis=2)
    mixed = opacity * colors + (1 - opacity) * gray
    mixed[~known] = _DIMMED * gray[~known]
    return np.rint(255 * mixed).astype(np.uint8)


def draw_sheet(title: str, subtitle: str, rows: Sequence[Row], footer: str = '') -> np.ndarray:
    """Draw rows of images under a title.

    Args:
        title: What the sheet shows.
        subtitle: How to read it.
        rows: The rows, of equal or different length.
        footer: Below everything.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    columns = max(len(row.cells) for row in rows)
    images = [cell.image for row in rows for cell in row.cells if cell.image is not None]
    ratio = float(np.median([image.shape[0] / image.shape[1] for image in images]))
    ratio = min(max(ratio, 0.5), 1.6)
    side = 1.2 if any(row.name for row in rows) else 0.12
    width = side + columns * (_CELL + 0.1) + 0.1
    letters = int(width * 13.5)
    above = [line for text in (subtitle,) for line in textwrap.wrap(text, letters)]
    below = textwrap.wrap(footer, letters)
    heads = [_lines(cell.title for cell in row.cells) for row in rows]
    feet = [_lines(cell.note for cell in row.cells) for row in rows]
    tall = [
        0.1 + _TITLE_LINE * head + _CELL * ratio + _NOTE_LINE * foot + 0.12
        for head, foot in zip(heads, feet, strict=True)
    ]
    top = 0.5 + 0.19 * len(above)
    height = top + sum(tall) + 0.1 + 0.17 * len(below)
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor='white')
    figure.text(0.12 / width, 1 - 0.14 / height, title, fontsize=14, weight='bold', va='top')
    figure.text(
        0.12 / width,
        1 - 0.45 / height,
        '\n'.join(above),
        fontsize=9.5,
        va='top',
        color='0.25',
        linespacing=1.25,
    )
    y = height - top
    for row, head, cell_height in zip(rows, heads, tall, strict=True):
        _draw_row(figure, row, y, head, ratio, side)
        y -= cell_height
    if below:
        figure.text(0.12 / width, 0.1 / height, '\n'.join(below), fontsize=8, color='0.35')
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _lines(texts: Any) -> int:
    return max((text.count('\n') + 1 for text in texts if text), default=0)


def _draw_row(figure: Figure, row: Row, y: float, head: int, ratio: float, side: float) -> None:
    """Draw a row whose upper edge is at ``y`` inches."""
    width, height = figure.get_size_inches()
    image_top = y - 0.1 - _TITLE_LINE * head
    figure.text(
        0.12 / width,
        (image_top - _CELL * ratio / 2) / height,
        '\n'.join(
            line for part in row.name.split('\n') for line in textwrap.wrap(part, 13) or ['']
        ),
        fontsize=9.5,
        weight='bold',
        va='center',
        linespacing=1.3,
    )
    for index, cell in enumerate(row.cells):
        if cell.image is None:
            continue
        left = side + index * (_CELL + 0.1)
        place = (
            left / width,
            (image_top - _CELL * ratio) / height,
            _CELL / width,
            _CELL * ratio / height,
        )
        axes = figure.add_axes(place)
        axes.set_axis_off()
        axes.imshow(cell.image, interpolation='nearest')
        axes.set_anchor('N')
        for x_at, y_at in cell.marks:
            axes.plot(x_at, y_at, marker='o', ms=9, mfc='none', mec='black', mew=3.5)
            axes.plot(x_at, y_at, marker='o', ms=9, mfc='none', mec='cyan', mew=1.8)
        for box in cell.boxes:
            for color, line in (('black', 2.4), ('cyan', 1.2)):
                axes.plot(*_outline(box), color=color, lw=line)
        axes.set_xlim(-0.5, cell.image.shape[1] - 0.5)
        axes.set_ylim(cell.image.shape[0] - 0.5, -0.5)
        if cell.color is not None:
            edge = (-0.5, -0.5, cell.image.shape[1] - 0.5, cell.image.shape[0] - 0.5)
            axes.plot(
                *_outline(tuple(value + 0.5 for value in edge)),
                color=[value / 255 for value in cell.color],
                lw=5,
                clip_on=False,
            )
        center = (left + _CELL / 2) / width
        figure.text(
            center,
            (image_top + 0.05) / height,
            cell.title,
            fontsize=9,
            ha='center',
            va='bottom',
            linespacing=1.15,
        )
        bottom = image_top - min(_CELL * cell.image.shape[0] / cell.image.shape[1], _CELL * ratio)
        figure.text(
            center,
            (bottom - 0.04) / height,
            cell.note,
            fontsize=8,
            ha='center',
            va='top',
            color='0.3',
            linespacing=1.15,
        )


def _outline(box: Sequence[float]) -> tuple[list[float], list[float]]:
    left, top, right, bottom = (float(value) - 0.5 for value in box)
    return [left, right, right, left, left], [top, top, bottom, bottom, top]
