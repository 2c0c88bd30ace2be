"""Drawing: functions that take arrays and return images."""

from .boxes import draw_boxes, write_caption
from .grid import image_grid
from .legend import class_legend
from .overlay import color_mask, overlay_mask, write_names
from .palette import distinct_palette

__all__ = [
    'class_legend',
    'color_mask',
    'distinct_palette',
    'draw_boxes',
    'image_grid',
    'overlay_mask',
    'write_caption',
    'write_names',
]
