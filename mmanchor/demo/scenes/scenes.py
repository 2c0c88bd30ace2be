"""Random scenes as plain descriptions: what is where, not yet any pixel."""

import colorsys
import math
from dataclasses import dataclass

import numpy as np

from .classes import PATTERNS, THINGS

VOID = -1  # The class index of a region without a label.


@dataclass(frozen=True)
class SceneStyle:
    """How difficult the scenes are; lengths are fractions of the short side.

    Attributes:
        objects: Fewest and most single objects in a scene.
        size: Smallest and largest diameter of an object.
        stroke_size: The same for strokes, which need room for their width.
        small_size: Smallest and largest diameter of a small object.
        small_chance: Chance that an object is a small one.
        hue_spread: Half the width of a class's hue range, degrees.
        crowd_chance: Chance that a scene holds a crowd.
        crowd_members: Fewest and most shapes in a crowd.
        void_chance: Chance that a scene holds an unlabeled region.
        empty_every: One scene in this many holds no object at all.
        noise: Largest standard deviation of the sensor noise, gray levels.
        blur: Largest standard deviation of the lens blur.
        jpeg_quality: Lowest and highest JPEG quality, percent.
    """

    objects: tuple[int, int] = (3, 7)
    size: tuple[float, float] = (0.18, 0.6)
    stroke_size: tuple[float, float] = (0.28, 0.65)
    small_size: tuple[float, float] = (0.05, 0.12)
    small_chance: float = 0.1
    hue_spread: float = 43.0
    crowd_chance: float = 0.12
    crowd_members: tuple[int, int] = (8, 18)
    void_chance: float = 0.2
    empty_every: int = 24
    noise: float = 9.0
    blur: float = 0.006
    jpeg_quality: tuple[int, int] = (70, 95)


@dataclass(frozen=True)
class Fill:
    """How a region is colored: a pattern blends two colors.

    Attributes:
        pattern: One of the patterns of :mod:`.textures`.
        colors: The two colors, RGB in [0, 255].
        period: Length of one repeat, pixels.
        angle: Direction of the pattern, radians.
        seed: Seed of the pattern's own randomness.
    """

    pattern: str
    colors: tuple[tuple[float, float, float], tuple[float, float, float]]
    period: float
    angle: float
    seed: int


@dataclass(frozen=True)
class Shape:
    """One shape to draw.

    Attributes:
        class_index: Index into ``THINGS``, or ``VOID``.
        owner: Which annotation it belongs to; crowd members share one.
        center: x and y, pixels.
        diameter: Of the circle around the shape, pixels.
        angle: Rotation, radians.
        aspect: Height over width before rotation.
        variation: What else the outline varies by, in [0, 1).
        fill: Its colors.
    """

    class_index: int
    owner: int
    center: tuple[float, float]
    diameter: float
    angle: float
    aspect: float
    variation: float
    fill: Fill


@dataclass(frozen=True)
class Horizon:
    """The wavy line between the backgrounds; above it is the sky.

    Attributes:
        height: Its height at the image's middle, fraction of the height.
        slope: Rise over run.
        wave: Amplitude (fraction of the height), cycles and phase.
    """

    height: float
    slope: float
    wave: tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """Everything that an image shows.

    Attributes:
        size: Height and width, pixels.
        horizon: Where the sky ends.
        backgrounds: Fill of the sky and of the ground.
        shapes: Back to front.
        crowd: The owner number that marks a crowd, or ``None``.
        seed: Seed of lighting and noise.
    """

    size: tuple[int, int]
    horizon: Horizon
    backgrounds: tuple[Fill, Fill]
    shapes: tuple[Shape, ...]
    crowd: int | None
    seed: int


def random_scene(
    rng: np.random.Generator, index: int, size: tuple[int, int], style: SceneStyle
) -> Scene:
    """Draw a scene at random.

    Args:
        rng: The image's own generator.
        index: Number of the image in its split; it rotates the first class
            (so that even a small split shows every one) and decides which
            scenes are empty.
        size: Height and width, pixels.
        style: How difficult the scene is.

    Returns:
        The scene.
    """
    horizon = Horizon(
        rng.uniform(0.2, 0.8) if rng.random() < 0.85 else rng.choice((-2.0, 2.0)),
        rng.uniform(-0.35, 0.35),
        (rng.uniform(0, 0.06), rng.uniform(0.5, 3), rng.uniform(0, math.tau)),
    )
    backgrounds = (_sky(rng, size), _ground(rng, size))
    shapes, crowd = [], None
    if index % style.empty_every != style.empty_every - 1:
        count = int(rng.integers(style.objects[0], style.objects[1] + 1))
        for owner in range(count):
            class_index = int(rng.integers(len(THINGS)))
            if owner == 0:
                class_index = index % len(THINGS)
            shapes.append([_thing(rng, class_index, owner, size, style)])
        if rng.random() < style.crowd_chance:
            crowd = count
            shapes.append(_crowd(rng, crowd, size, style))
    if rng.random() < style.void_chance:
        shapes.append([_void(rng, size)])
    order = rng.permutation(len(shapes))
    return Scene(
        size,
        horizon,
        backgrounds,
        tuple(shape for i in order for shape in shapes[i]),
        crowd,
        int(rng.integers(2**32)),
    )


def _rgb(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    return tuple(255 * channel for channel in colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value))


def _fill(
    rng: np.random.Generator,
    pattern: str,
    hue: float,
    saturation: float,
    value: float,
    contrast: float,
    period: float,
) -> Fill:
    """A fill whose second color is darker or paler than the first."""
    if rng.random() < 0.7:
        other = _rgb(hue, saturation, value * (1 - contrast))
    else:
        other = _rgb(hue, saturation * (1 - contrast), min(1, value * (1 + contrast / 2)))
    return Fill(
        pattern,
        (_rgb(hue, saturation, value), other),
        period,
        rng.uniform(0, math.pi),
        int(rng.integers(2**32)),
    )


def _sky(rng: np.random.Generator, size: tuple[int, int]) -> Fill:
    patterns = ('gradient', 'clouds', 'stripes', 'noise')
    return _fill(
        rng,
        rng.choice(patterns, p=(0.4, 0.4, 0.1, 0.1)),
        rng.uniform(170, 280),
        rng.uniform(0.08, 0.35),
        rng.uniform(0.65, 0.95),
        rng.uniform(0.15, 0.45),
        min(size) * rng.uniform(0.1, 0.4),
    )


def _ground(rng: np.random.Generator, size: tuple[int, int]) -> Fill:
    patterns = ('gravel', 'stripes', 'checks', 'noise', 'gradient')
    return _fill(
        rng,
        rng.choice(patterns, p=(0.3, 0.2, 0.2, 0.2, 0.1)),
        rng.uniform(10, 190),
        rng.uniform(0.08, 0.4),
        rng.uniform(0.3, 0.7),
        rng.uniform(0.15, 0.45),
        min(size) * rng.uniform(0.05, 0.15),
    )


def _thing_fill(
    rng: np.random.Generator, class_index: int, diameter: float, style: SceneStyle
) -> Fill:
    thing = THINGS[class_index]
    pattern = rng.choice(thing.patterns, p=(0.55, 0.33, 0.12))
    smooth = pattern in ('plain', 'noise')
    hue = thing.hue + rng.uniform(-1, 1) * style.hue_spread
    return _fill(
        rng,
        pattern,
        hue,
        rng.uniform(0.5, 1.0),
        rng.uniform(*thing.value),
        rng.uniform(0.2, 0.45) if smooth else rng.uniform(0.5, 0.8),
        max(5.0, diameter * rng.uniform(0.15, 0.3)),
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _thing(
    rng: np.random.Generator, class_index: int, owner: int, size: tuple[int, int], style: SceneStyle
) -> Shape:
    height, width = size
    sizes = style.stroke_size if THINGS[class_index].stroke else style.size
    if not THINGS[class_index].stroke and rng.random() < style.small_chance:
        sizes = style.small_size
    diameter = max(6.0, min(size) * _log_uniform(rng, *sizes))
    return Shape(
        class_index,
        owner,
        (rng.uniform(0.03, 0.97) * width, rng.uniform(0.03, 0.97) * height),
        diameter,
        rng.uniform(0, math.tau),
        rng.uniform(0.6, 1),
        rng.random(),
        _thing_fill(rng, class_index, diameter, style),
    )


def _crowd(rng: np.random.Generator, owner: int, size: tuple[int, int], style: SceneStyle) -> list:
    """Many small shapes of one class, too close together to be annotated one by one."""
    class_index = int(rng.choice([i for i, thing in enumerate(THINGS) if not thing.stroke]))
    count = int(rng.integers(style.crowd_members[0], style.crowd_members[1] + 1))
    diameter = max(7.0, min(size) * rng.uniform(0.07, 0.11))
    middle = rng.uniform(0.2, 0.8, 2) * size[::-1]
    reach = 0.5 * diameter * math.sqrt(count)
    members = []
    for _ in range(count):
        turn, far = rng.uniform(0, math.tau), math.sqrt(rng.random())
        members.append(
            Shape(
                class_index,
                owner,
                (
                    middle[0] + 1.4 * reach * far * math.cos(turn),
                    middle[1] + 0.8 * reach * far * math.sin(turn),
                ),
                diameter * rng.uniform(0.8, 1.2),
                rng.uniform(0, math.tau),
                rng.uniform(0.6, 1),
                rng.random(),
                _thing_fill(rng, class_index, diameter, style),
            )
        )
    return members


def _void(rng: np.random.Generator, size: tuple[int, int]) -> Shape:
    diameter = min(size) * rng.uniform(0.12, 0.35)
    fill = _fill(
        rng,
        rng.choice(PATTERNS),
        rng.uniform(0, 360),
        rng.uniform(0, 1),
        rng.uniform(0.2, 0.9),
        rng.uniform(0.2, 0.6),
        max(4.0, diameter * 0.2),
    )
    return Shape(
        VOID,
        VOID,
        (rng.random() * size[1], rng.random() * size[0]),
        diameter,
        rng.uniform(0, math.tau),
        rng.uniform(0.5, 1),
        rng.random(),
        fill,
    )
