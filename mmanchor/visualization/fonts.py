"""One font for every drawing, without asking the system."""

from functools import cache
from pathlib import Path

import matplotlib
from PIL import ImageFont


@cache
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib ships on every system.

    Args:
        size: Height of the letters (pixels).
    """
    path = Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')
    return ImageFont.truetype(str(path), size)
