"""The training form of one attention layer and the deploy form that it folds into."""

from itertools import pairwise
from pathlib import Path

import torch
from _style import ACCENT, ANCHOR, LIGHT, WARM, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from mmanchor.models.layers import LearnedAnchorAttention

WIDTH, HEADS, ANCHORS = 384, 6, 30  # AnchorFormer-S


class Diagram:
    """Labeled boxes and the arrows between them."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes

    def box(self, x: float, y: float, text: str, color: str = LIGHT) -> Text:
        """A labeled box around (x, y)."""
        style = dict(boxstyle='round,pad=0.45', facecolor=color, edgecolor=ANCHOR, linewidth=1)
        return self.axes.text(x, y, text, ha='center', va='center', fontsize=10, bbox=style)

    def chain(self, *boxes: Text) -> None:
        """Arrows from each box to the next."""
        for start, end in pairwise(boxes):
            style = dict(arrowstyle='-|>', color='#555', patchA=start.get_bbox_patch())
            style['patchB'] = end.get_bbox_patch()
            self.axes.annotate('', end.get_position(), start.get_position(), arrowprops=style)


def draw_training(diagram: Diagram) -> None:
    """Keys, anchors and values: what is trained."""
    box = diagram.box
    x = box(0, 0.5, 'tokens X\nN x 384', 'white')
    keys, values = box(0.9, 1, 'keys\nN x 384'), box(0.9, 0, 'values\nN x 384')
    assign = box(2.1, 1, 'A = softmax(keys, anchors)\n6 heads, N x 30', WARM)
    means = box(2.1, 0, 'means of the values\n6 heads, 30 x 64', WARM)
    spread = box(3.1, 0.5, 'A times\nmeans', WARM)
    out = box(3.75, 0.5, 'output\nprojection\nN x 384')
    y = box(4.35, 0.5, 'Y', 'white')
    diagram.chain(x, keys, assign, spread, out, y)
    diagram.chain(x, values, means, spread)
    diagram.chain(assign, means)


def draw_deploy(diagram: Diagram) -> None:
    """One matrix to the scores, and projections of 180 means."""
    box = diagram.box
    x = box(0, 0.5, 'tokens X\nN x 384', 'white')
    assign = box(1.25, 1, 'A = softmax(X W)\nW: keys and anchors folded\nN x 180', WARM)
    means = box(1.25, 0, 'means of the tokens\n180 x 384', WARM)
    project = box(2.55, 0, 'value and output\nprojection, 180 x 384')
    spread = box(3.4, 0.5, 'A times\nmeans', WARM)
    y = box(4.35, 0.5, 'Y', 'white')
    diagram.chain(x, assign, spread, y)
    diagram.chain(x, means, project, spread)
    diagram.chain(assign, means)


def draw(target: Path) -> None:
    """Write the figure to ``target``."""
    layer = LearnedAnchorAttention(WIDTH, HEADS, num_anchors=ANCHORS).eval()
    x = torch.rand(1, 4, WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, trained = layer(x), sum(p.numel() for p in layer.parameters())
        layer.switch_to_deploy()
        after, deployed = layer(x), sum(p.numel() for p in layer.parameters())
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)
    figure = Figure((9.4, 5.2), layout='constrained')
    for axes, title, drawing in zip(
        figure.subplots(2, 1),
        (
            f'training form: {trained:,} parameters, every token is projected three times',
            f'deploy form: {deployed:,} parameters, the same output',
        ),
        (draw_training, draw_deploy),
        strict=True,
    ):
        axes.set(xlim=(-0.35, 4.5), ylim=(-0.45, 1.45))
        axes.axis('off')
        axes.set_title(title, loc='left', color=ACCENT, fontsize=11)
        drawing(Diagram(axes))
    figure.draw_without_rendering()  # arrows end at boxes, whose size is known once drawn
    save(figure, target)


if __name__ == '__main__':
    draw(Path('deploy.svg'))
