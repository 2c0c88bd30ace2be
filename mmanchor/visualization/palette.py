"""Colors for classes."""

import colorsys
from collections.abc import Sequence

Palette = Sequence[Sequence[int]]


def distinct_palette(num_classes: int) -> tuple[tuple[int, int, int], ...]:
    """Colors in which neighboring class indices are easy to distinguish.

    The hue advances by the golden ratio, so consecutive classes are far apart
    for any number of classes; the brightness alternates.

    Args:
        num_classes: Number of colors, 0 or more.

    Returns:
        ``num_classes`` RGB triples, each value 0 to 255.

    Raises:
        ValueError: If ``num_classes`` is negative.

    Example:
        >>> len(set(distinct_palette(150)))
        150
    """
    if num_classes < 0:
        raise ValueError(f'num_classes must be 0 or more, got {num_classes}')
    colors = []
    for index in range(num_classes):
        hue = index * 0.6180339887498949 % 1
        value = (0.95, 0.7, 0.5)[index % 3]
        rgb = colorsys.hsv_to_rgb(hue, 0.75, value)
        colors.append(tuple(round(255 * channel) for channel in rgb))
    return tuple(colors)
