"""Drawing only: functions that take arrays and return pictures."""

from .boxes import draw_boxes, write_caption
from .grids import picture_grid
from .masks import class_legend, colour_mask, distinct_palette, overlay_mask
from .names import write_names

__all__ = [
    'class_legend',
    'colour_mask',
    'distinct_palette',
    'draw_boxes',
    'overlay_mask',
    'picture_grid',
    'write_caption',
    'write_names',
]
