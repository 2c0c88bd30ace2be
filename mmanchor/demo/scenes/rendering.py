"""A scene description becomes pixels, labels and visible masks."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .classes import STUFF_CLASSES
from .scenes import VOID, Scene, SceneStyle
from .shapes import draw_shape
from .textures import paint, value_noise

MIN_VISIBLE = 12  # Pixels; an object that shows fewer is not annotated.


@dataclass(frozen=True)
class Instance:
    """What remains visible of an object, or of a crowd.

    Attributes:
        class_index: Index into ``THINGS``.
        mask: Its visible pixels, (H, W) bool.
        crowd: Whether it stands for many shapes together.
    """

    class_index: int
    mask: np.ndarray
    crowd: bool


@dataclass(frozen=True)
class Rendering:
    """A rendered scene.

    Attributes:
        image: RGB uint8, (H, W, 3).
        labels: Class index + 1, 0 = unlabeled; uint8, (H, W).
        instances: In order of their owner numbers.
        jpeg_quality: The quality to store the image with, percent.
    """

    image: np.ndarray
    labels: np.ndarray
    instances: list[Instance]
    jpeg_quality: int


def render(scene: Scene, style: SceneStyle) -> Rendering:
    """Paint a scene back to front, then light it and add noise.

    A pixel belongs to the front-most shape that covers at least half of it.

    Args:
        scene: What to show.
        style: How strong blur and noise are.

    Returns:
        The image and its annotations.
    """
    canvas, labels = _backgrounds(scene)
    owners = np.full(scene.size, VOID, np.int16)
    class_indices = {}
    for shape in scene.shapes:
        window, cover = draw_shape(shape, scene.size)
        if not cover.any():
            continue
        alpha = cover[..., None] * np.float32(1 / 255)
        color = paint(shape.fill, *cover.shape)
        canvas[window] += alpha * (color - canvas[window])
        inside = cover >= 128
        owners[window][inside] = shape.owner
        # What is drawn, but not (or not enough) to be seen, is unlabeled.
        labels[window][inside] = 0
        if shape.class_index != VOID:
            class_indices[shape.owner] = shape.class_index

    instances = []
    for owner, class_index in sorted(class_indices.items()):
        mask = owners == owner
        if np.count_nonzero(mask) >= MIN_VISIBLE:
            labels[mask] = len(STUFF_CLASSES) + class_index + 1
            instances.append(Instance(class_index, mask, owner == scene.crowd))

    rng = np.random.default_rng(scene.seed)
    image = _photograph(canvas, rng, style)
    quality = int(rng.integers(style.jpeg_quality[0], style.jpeg_quality[1] + 1))
    return Rendering(image, labels, instances, quality)


def _backgrounds(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """The empty scene: colors, (H, W, 3) float32, and labels, uint8."""
    height, width = scene.size
    sky, ground = (paint(fill, height, width) for fill in scene.backgrounds)
    x = np.arange(width) / width - 0.5
    amplitude, cycles, phase = scene.horizon.wave
    line = height * (
        scene.horizon.height
        + scene.horizon.slope * x
        + amplitude * np.sin(math.tau * cycles * x + phase)
    )
    above = np.arange(height)[:, None] < line
    canvas = np.where(above[..., None], sky, ground)
    return canvas, np.where(above, 1, 2).astype(np.uint8)


def _photograph(canvas: np.ndarray, rng: np.random.Generator, style: SceneStyle) -> np.ndarray:
    """Uneven light, perhaps a shadow, lens blur and sensor noise."""
    height, width = canvas.shape[:2]
    angle = rng.uniform(0, math.tau)
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None]
    across = x * math.cos(angle) + y * math.sin(angle)
    light = rng.uniform(0.9, 1.1) + rng.uniform(0, 0.35) * across
    if rng.random() < 0.4:
        shade = value_noise(rng, height, width, min(height, width) / 2.5)
        light = light * (1 - rng.uniform(0.15, 0.4) * np.clip(6 * shade - 3.3, 0, 1))
    canvas = canvas * light[..., None].astype(np.float32)

    sigma = min(height, width) * rng.uniform(0, style.blur)
    if sigma > 0.3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), sigma)
    noise = rng.standard_normal(canvas.shape, dtype=np.float32)
    canvas += np.float32(rng.uniform(1, style.noise)) * noise
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
