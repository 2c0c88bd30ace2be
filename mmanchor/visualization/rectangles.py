"""Rounded rectangles with smooth edges, painted into float pictures."""

from collections.abc import Iterator, Sequence

import numpy as np

Box = Sequence[float]  # Left, top, right, bottom (pixels).


def paint(
    canvas: np.ndarray, top: int, left: int, coverage: np.ndarray, colour: Sequence[int]
) -> None:
    """Lay a colour over a part of a picture.

    Args:
        canvas: (H, W, 3) float, changed in place.
        top, left: Where the part begins; it lies in the picture.
        coverage: (h, w), how much of each pixel the colour takes, 0 to 1.
        colour: RGB, 0 to 255.
    """
    height, width = coverage.shape
    part = canvas[top : top + height, left : left + width]
    part += coverage[..., None] * (np.asarray(colour, part.dtype) - part)


def fill_rectangle(canvas: np.ndarray, box: Box, colour: Sequence[int], radius: float = 0) -> None:
    """Fill a rectangle.

    Args:
        canvas: (H, W, 3) float, changed in place.
        box: Left, top, right, bottom (pixels); may stick out.
        colour: RGB, 0 to 255.
        radius: Of the corners (pixels).
    """
    left, top, right, bottom = _pixels(canvas, box, 1)
    ys, xs = _centres(top, bottom, left, right)
    coverage = np.clip(0.5 - _distance(ys, xs, box, radius), 0, 1)
    paint(canvas, top, left, coverage, colour)


def outline_rectangle(
    canvas: np.ndarray,
    box: Box,
    colour: Sequence[int],
    width: float,
    radius: float = 0,
    opacity: float = 1,
    dash: float = 0,
) -> None:
    """Draw the outline of a rectangle; the box is the middle of the line.

    Args:
        canvas: (H, W, 3) float, changed in place.
        box: Left, top, right, bottom (pixels); may stick out.
        colour: RGB, 0 to 255.
        width: Of the line (pixels).
        radius: Of the corners (pixels).
        opacity: Weight of the colour, 0 to 1.
        dash: Length of the dashes (pixels); 0 for a solid line.
    """
    margin = int(np.ceil(width / 2 + radius)) + 1
    for left, top, right, bottom in _strips(_pixels(canvas, box, margin), 2 * margin):
        ys, xs = _centres(top, bottom, left, right)
        distance = np.abs(_distance(ys, xs, box, radius))
        coverage = np.clip(0.5 + width / 2 - distance, 0, min(1, width))
        if dash:
            coverage *= _dashes(ys, xs, box, dash)
        paint(canvas, top, left, opacity * coverage, colour)


def _pixels(canvas: np.ndarray, box: Box, margin: int) -> tuple[int, int, int, int]:
    """The pixels around a box that are in a picture."""
    height, width = canvas.shape[:2]
    left, top = (np.floor(value) - margin for value in box[:2])
    right, bottom = (np.ceil(value) + margin for value in box[2:])
    left, right = np.clip((left, right), 0, width).astype(int)
    top, bottom = np.clip((top, bottom), 0, height).astype(int)
    return left, top, right, bottom


def _strips(region: tuple[int, int, int, int], width: int) -> Iterator[tuple[int, int, int, int]]:
    """A region's border; all of it where nothing would be left inside."""
    left, top, right, bottom = region
    if min(right - left, bottom - top) <= 2 * width:
        yield region
        return
    yield left, top, right, top + width
    yield left, bottom - width, right, bottom
    yield left, top + width, left + width, bottom - width
    yield right - width, top + width, right, bottom - width


def _centres(top: int, bottom: int, left: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """Of pixels: ordinates (h, 1) and abscissas (1, w)."""
    ys = np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5
    return ys, np.arange(left, right, dtype=np.float32)[None] + 0.5


def _distance(ys: np.ndarray, xs: np.ndarray, box: Box, radius: float) -> np.ndarray:
    """Distance of points to the edge of a box, (h, w), negative inside."""
    left, top, right, bottom = box
    radius = min(radius, (right - left) / 2, (bottom - top) / 2)
    across = np.abs(xs - (left + right) / 2) - (right - left) / 2 + radius
    down = np.abs(ys - (top + bottom) / 2) - (bottom - top) / 2 + radius
    outside = np.hypot(across.clip(0), down.clip(0))
    return outside + np.minimum(np.maximum(across, down), 0) - radius


def _dashes(ys: np.ndarray, xs: np.ndarray, box: Box, dash: float) -> np.ndarray:
    """Which points a dashed line takes, (h, w); each corner is in a dash."""
    left, top, right, bottom = box
    patterns = []
    for at, start, length in ((xs, left, right - left), (ys, top, bottom - top)):
        period = max(length, 1) / max(1, round(length / (2 * dash)))
        phase = (at - start + period / 2) % period - period / 2
        patterns.append(np.clip(0.5 + period / 4 - np.abs(phase), 0, 1))
    from_side = np.minimum(np.abs(xs - left), np.abs(xs - right))
    from_end = np.minimum(np.abs(ys - top), np.abs(ys - bottom))
    return np.where(from_end <= from_side, patterns[0], patterns[1])
