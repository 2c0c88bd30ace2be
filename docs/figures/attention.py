"""Softmax attention and anchor attention of the same 24 tokens, side by side."""

from pathlib import Path

import torch
from _style import ACCENT, ANCHOR, LIGHT, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mmanchor.ops import anchor_assignment, refine_anchors

# Three groups of eight tokens in a space of two channels.
CENTERS = torch.tensor([[2.4, 0.6], [-1.6, 2.0], [-0.8, -2.4]])
SCALE = 0.55


def example() -> tuple[Tensor, Tensor]:
    """Keys (1, 1, 24, 2) and three anchors (3, 2) that have moved to the groups."""
    noise = torch.randn(3, 8, 2, generator=torch.Generator().manual_seed(4))
    keys = (CENTERS[:, None] + 0.9 * noise).reshape(1, 1, 24, 2)
    anchors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    for _ in range(5):
        anchors = refine_anchors(keys, anchors, scale=SCALE)[0, 0]
    return keys, anchors


def draw_tokens(axes: Axes, keys: Tensor, anchors: Tensor, assign: Tensor) -> None:
    """Tokens, anchors, and the way of one token to the others."""
    points = keys[0, 0]
    axes.scatter(*points.T, color=ANCHOR, s=28, zorder=3, label='token')
    axes.scatter(*anchors.T, color=ACCENT, marker='*', s=190, zorder=4, label='anchor')
    for anchor, share in zip(anchors, assign[0, 0, 0], strict=True):
        ends = torch.stack((points[0], anchor)).T
        axes.plot(*ends, color=ACCENT, linewidth=0.6 + 4 * float(share), alpha=0.8)
    for point, shares in zip(points, assign[0, 0], strict=True):
        for anchor, share in zip(anchors, shares, strict=True):
            axes.plot(*torch.stack((point, anchor)).T, color='k', alpha=0.22 * float(share), lw=1)
    axes.set(xticks=[], yticks=[], aspect='equal')
    axes.spines[:].set_visible(False)
    axes.legend(loc='lower right', fontsize=9, handletextpad=0.2)


def draw_matrix(axes: Axes, matrix: Tensor, title: str, size: str) -> None:
    """One matrix of weights as an image."""
    axes.imshow(matrix, cmap='Blues', vmin=0)
    axes.set(xticks=[], yticks=[], title=title, xlabel=size)
    axes.spines[:].set(visible=True, color=LIGHT)


def draw(target: Path) -> None:
    """Write the figure to ``target``."""
    keys, anchors = example()
    assign = anchor_assignment(keys, anchors, scale=SCALE)
    shares = assign[0, 0]
    through = shares @ (shares / shares.sum(0)).T
    softmax = (keys[0, 0] @ keys[0, 0].T * SCALE).softmax(-1)
    figure = Figure((10.5, 3.3), layout='constrained')
    axes = figure.subplots(1, 4, width_ratios=(1.25, 1, 0.28, 1))
    draw_tokens(axes[0], keys, anchors, assign)
    axes[0].set_title('24 tokens, 3 anchors')
    draw_matrix(axes[1], softmax, 'softmax attention', '24 x 24, computed, with queries = keys')
    draw_matrix(axes[2], shares, '$A$', '24 x 3')
    draw_matrix(axes[3], through, r'$A\,\Delta^{-1}A^\top$', '24 x 24, never computed')
    save(figure, target)


if __name__ == '__main__':
    draw(Path('attention.svg'))
