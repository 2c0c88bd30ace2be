"""Going through an image in bands: once for the sums, once for the outputs."""

from pathlib import Path

from _style import ACCENT, ANCHOR, LIGHT, WARM, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

BANDS = 4


def draw_map(axes: Axes, left: float, active: int, color: str) -> None:
    """A map of tokens cut into bands, one of them in work."""
    for band in range(BANDS):
        y = BANDS - 1 - band
        face = color if band == active else LIGHT if band < active else 'white'
        axes.add_patch(Rectangle((left, y), 3, 0.94, facecolor=face, edgecolor=ANCHOR))
        axes.text(left + 1.5, y + 0.47, f'band {band + 1}', ha='center', va='center', fontsize=10)


def draw(target: Path) -> None:
    """Write the figure to ``target``."""
    figure = Figure((9, 3), layout='constrained')
    axes = figure.subplots()
    axes.set(xlim=(-1.2, 13.4), ylim=(-0.75, 4.7), aspect='equal')
    axes.axis('off')
    draw_map(axes, 0, 2, WARM)
    draw_map(axes, 9.2, 1, WARM)
    arrow = dict(arrowstyle='-|>', color=ACCENT, linewidth=1.4)
    axes.annotate('', (5, 2), (3.1, 1.45), arrowprops=arrow)
    axes.annotate('', (9.1, 2.45), (7.2, 2), arrowprops=arrow)
    box = dict(boxstyle='round,pad=0.5', facecolor='white', edgecolor=ACCENT)
    text = 'two sums of the layer\n' r'$A^\top X$ and $A^\top 1$' '\n30 rows a head'
    axes.text(6.1, 2, text, ha='center', va='center', fontsize=10, bbox=box)
    axes.text(1.5, 4.25, 'pass 1: add to the sums', ha='center', fontsize=10.5)
    axes.text(10.7, 4.25, 'pass 2: write the outputs in place', ha='center', fontsize=10.5)
    axes.text(
        6.1,
        -0.6,
        'the work of one band is in memory at a time',
        ha='center',
        fontsize=9.5,
        alpha=0.7,
    )
    save(figure, target)


if __name__ == '__main__':
    draw(Path('bands.svg'))
