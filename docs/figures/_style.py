"""What the figures of the site share: colors and a plain look."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

ANCHOR = '#1f6feb'
SOFTMAX = '#6b7280'
ACCENT = '#d9480f'
LIGHT = '#dbe7fb'
WARM = '#fde3d3'

mpl.rcParams.update(
    {
        'axes.spines.right': False,
        'axes.spines.top': False,
        'font.size': 11,
        'legend.frameon': False,
        'svg.hashsalt': 'mmanchor',  # the same file each time
    }
)


def save(figure: Figure, target: Path) -> None:
    """Write a figure, without the date, so that the same code gives the same file."""
    figure.savefig(target, bbox_inches='tight', metadata={'Date': None})
