"""Outlines of the demo shapes, drawn as soft masks.

Every outline lives in the circle of radius 1 around the origin, with y down.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .classes import THINGS
from .scenes import VOID, Shape

Points = NDArray[np.float64]  # (n, 2), x and y

_FINER = 4  # Shapes are drawn this much larger, then averaged.
_SHIFT = 4  # OpenCV takes coordinates in 1 / 2**_SHIFT of a pixel.
_MIN_STROKE = 0.04  # Of the image's short side: 5 pixels at 128.


def _polar(angles: Points, radii: Points) -> Points:
    return np.stack((np.cos(angles), np.sin(angles)), -1) * radii[..., None]


def _circle(count: int = 48) -> Points:
    angles = np.arange(count) * (math.tau / count)
    return _polar(angles, np.ones(count))


def _disc(aspect: float, variation: float) -> Points:
    return _circle() * (1, aspect)


def _star(aspect: float, variation: float) -> Points:
    tips = 5 + int(variation * 2)
    angles = np.arange(2 * tips) * (math.pi / tips)
    return _polar(angles, np.tile((1.0, 0.3 + 0.25 * aspect), tips))


def _rectangle(aspect: float, variation: float) -> Points:
    height = aspect - 0.15 * variation
    corners = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1)), float)
    return corners * (1, height) / math.hypot(1, height)


def _triangle(aspect: float, variation: float) -> Points:
    top = -math.pi / 2
    spread = math.pi * (0.5 + 0.25 * aspect)
    angles = np.array((top, top + spread, top - spread))
    return _polar(angles, np.ones(3))


def _cross(aspect: float, variation: float) -> Points:
    arm = 0.28 + 0.14 * variation
    quarter = np.array(((1, -arm), (1, arm), (arm, arm)))
    turns = [quarter]
    for _ in range(3):
        turns.append(np.stack((-turns[-1][:, 1], turns[-1][:, 0]), -1))
    return np.concatenate(turns) / math.hypot(1, arm)


def _void(aspect: float, variation: float) -> Points:
    angles = np.arange(48) * (math.tau / 48)
    radii = 0.75 + 0.15 * np.sin(3 * angles + math.tau * variation)
    radii += 0.1 * np.sin(5 * angles + 9 * aspect)
    return _polar(angles, radii) * (1, aspect)


# A filled outline's function returns its corners.
_OUTLINES: dict[str, Callable[[float, float], Points]] = {
    'disc': _disc,
    'star': _star,
    'rectangle': _rectangle,
    'triangle': _triangle,
    'cross': _cross,
}


def _ring(aspect: float, variation: float) -> tuple[Points, float]:
    width = 0.3 + 0.15 * variation
    closed = np.concatenate((_circle(), _circle()[:1]))
    return closed * (1, max(aspect, 0.75)) * (1 - width / 2), width


def _zigzag(aspect: float, variation: float) -> tuple[Points, float]:
    corners = 4 + int(variation * 3)
    x = np.linspace(-1, 1, corners)
    rise = 0.55 * aspect
    y = np.where(np.arange(corners) % 2, rise, -rise)
    return np.stack((x, y), -1) * (0.86 / math.hypot(1, rise)), 0.28


def _spiral(aspect: float, variation: float) -> tuple[Points, float]:
    turns = 1.35 + 0.3 * variation
    along = np.linspace(0, 1, 48)
    return _polar(along * turns * math.tau, 0.05 + 0.81 * along), 0.26


# A stroke's function returns its middle line and its width.
_STROKES: dict[str, Callable[[float, float], tuple[Points, float]]] = {
    'ring': _ring,
    'zigzag': _zigzag,
    'spiral': _spiral,
}


def draw_shape(shape: Shape, size: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Draw a shape's coverage, in the part of the image that it touches.

    Args:
        shape: What to draw.
        size: Height and width of the image, pixels.

    Returns:
        The window (rows, columns) of the image that the shape touches, and
        the coverage in it, uint8, 255 inside; the window may be empty.
    """
    name = 'void' if shape.class_index == VOID else THINGS[shape.class_index].name
    radius, reach = shape.diameter / 2, shape.diameter / 2 + 2
    top, left, bottom, right = (
        int(np.clip(side, 0, limit))
        for side, limit in (
            (shape.center[1] - reach, size[0]),
            (shape.center[0] - reach, size[1]),
            (shape.center[1] + reach + 1, size[0]),
            (shape.center[0] + reach + 1, size[1]),
        )
    )
    window = slice(top, bottom), slice(left, right)
    fine = np.zeros(((bottom - top) * _FINER, (right - left) * _FINER), np.uint8)
    if fine.size == 0:
        return window, fine

    cosine, sine = math.cos(shape.angle), math.sin(shape.angle)
    turn = np.array(((cosine, sine), (-sine, cosine))) * radius * _FINER
    # OpenCV's integer coordinates are pixel centers, hence the half pixel.
    origin = (np.array(shape.center) - (left, top)) * _FINER - 0.5

    def place(points: Points) -> np.ndarray:
        x = points[:, 0] * turn[0, 0] + points[:, 1] * turn[1, 0]
        y = points[:, 0] * turn[0, 1] + points[:, 1] * turn[1, 1]
        placed = np.stack((x, y), -1) + origin
        return np.rint(placed * 2**_SHIFT).astype(np.int32)

    if name in _STROKES:
        line, width = _STROKES[name](shape.aspect, shape.variation)
        thickness = max(width * radius, _MIN_STROKE * min(size)) * _FINER
        cv2.polylines(fine, [place(line)], False, 255, round(thickness), cv2.LINE_8, _SHIFT)
    else:
        outline = _OUTLINES.get(name, _void)(shape.aspect, shape.variation)
        cv2.fillPoly(fine, [place(outline)], 255, cv2.LINE_8, _SHIFT)
    cover = cv2.resize(fine, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return window, cover
