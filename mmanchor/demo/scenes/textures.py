"""Procedural patterns: fields in [0, 1] that blend the colors of a fill."""

import math
from collections.abc import Callable

import cv2
import numpy as np

from .scenes import Fill

Field = np.ndarray  # (H, W) float32 in [0, 1]


def value_noise(rng: np.random.Generator, height: int, width: int, period: float) -> Field:
    """Smooth noise: random values on a grid, interpolated.

    Args:
        rng: Source of the values.
        height: Rows of the field.
        width: Columns of the field.
        period: Distance between grid points, pixels.

    Returns:
        The field, (height, width).
    """
    step = max(1, round(period))
    rows, columns = height // step + 2, width // step + 2
    grid = rng.random((rows, columns), dtype=np.float32)
    field = cv2.resize(grid, (columns * step, rows * step), interpolation=cv2.INTER_CUBIC)
    return np.clip(field[:height, :width], 0, 1)


def _along(fill: Fill, height: int, width: int, turn: float = 0.0) -> Field:
    """Distance along the pattern's direction, in periods."""
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None]
    angle = fill.angle + turn
    return (x * math.cos(angle) + y * math.sin(angle)) / fill.period


def _wave(phase: Field, sharpness: float) -> Field:
    return np.clip(0.5 + sharpness * np.sin(math.tau * phase), 0, 1)


def _plain(fill: Fill, height: int, width: int) -> Field:
    field = _along(fill, height, width)
    return 0.3 * (field - field.min()) / max(np.ptp(field), 1e-6)


def _gradient(fill: Fill, height: int, width: int) -> Field:
    return _plain(fill, height, width) / 0.3


def _stripes(fill: Fill, height: int, width: int) -> Field:
    return _wave(_along(fill, height, width), 1.5)


def _checks(fill: Fill, height: int, width: int) -> Field:
    a = np.sin(math.pi * _along(fill, height, width))
    b = np.sin(math.pi * _along(fill, height, width, math.pi / 2))
    return np.clip(0.5 + 3 * a * b, 0, 1)


def _dots(fill: Fill, height: int, width: int) -> Field:
    a = np.cos(math.tau * _along(fill, height, width))
    b = np.cos(math.tau * _along(fill, height, width, math.pi / 2))
    return np.clip(1.5 * (a + b) - 0.5, 0, 1)


def _noise(fill: Fill, height: int, width: int) -> Field:
    rng = np.random.default_rng(fill.seed)
    return value_noise(rng, height, width, fill.period / 2)


def _clouds(fill: Fill, height: int, width: int) -> Field:
    rng = np.random.default_rng(fill.seed)
    field = value_noise(rng, height, width, fill.period)
    field = 0.65 * field + 0.35 * value_noise(rng, height, width, fill.period / 3)
    return np.clip(1.6 * field - 0.3, 0, 1)


def _gravel(fill: Fill, height: int, width: int) -> Field:
    rng = np.random.default_rng(fill.seed)
    stones = value_noise(rng, height, width, max(2.0, fill.period / 3))
    grain = rng.random((height, width), dtype=np.float32)
    return 0.75 * np.clip(4 * stones - 1.5, 0, 1) + 0.25 * grain


_FIELDS: dict[str, Callable[[Fill, int, int], Field]] = {
    'plain': _plain,
    'gradient': _gradient,
    'stripes': _stripes,
    'checks': _checks,
    'dots': _dots,
    'noise': _noise,
    'clouds': _clouds,
    'gravel': _gravel,
}


def paint(fill: Fill, height: int, width: int) -> np.ndarray:
    """Render a fill.

    Args:
        fill: The pattern and its two colors.
        height: Rows.
        width: Columns.

    Returns:
        RGB in [0, 255], float32, (height, width, 3).
    """
    field = _FIELDS[fill.pattern](fill, height, width)[..., None]
    first, second = np.array(fill.colors, np.float32)
    return first + field * (second - first)
