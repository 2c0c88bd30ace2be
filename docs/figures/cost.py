"""Multiply-adds of one attention layer over the number of tokens, counted by torch."""

from pathlib import Path

import torch
from _style import ANCHOR, SOFTMAX, save
from matplotlib.figure import Figure
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmanchor.models.layers import LearnedAnchorAttention, SoftmaxAttention

TOKENS = [2**n for n in range(6, 17)]
WIDTH, HEADS, ANCHORS = 384, 6, 30  # AnchorFormer-S


def macs(layer: nn.Module, tokens: int) -> float:
    """Multiply-adds of a forward pass, by torch's own counter and without data."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(torch.rand(1, tokens, WIDTH, device='meta'))
    return counter.get_total_flops() / 2


def draw(target: Path) -> None:
    """Write the figure to ``target``."""
    with torch.device('meta'):
        softmax = SoftmaxAttention(WIDTH, HEADS).eval()
        anchor = LearnedAnchorAttention(WIDTH, HEADS, num_anchors=ANCHORS).eval()
        deploy = LearnedAnchorAttention(WIDTH, HEADS, num_anchors=ANCHORS, deploy=True).eval()
    figure = Figure((7.2, 4), layout='constrained')
    axes = figure.subplots()
    curves = (
        ('softmax attention', softmax, dict(color=SOFTMAX)),
        ('anchor attention', anchor, dict(color=ANCHOR, linestyle='--')),
        ('anchor attention, deploy form', deploy, dict(color=ANCHOR)),
    )
    for label, layer, style in curves:
        giga = [macs(layer, tokens) / 1e9 for tokens in TOKENS]
        axes.loglog(TOKENS, giga, marker='.', label=label, **style)
    axes.axvline(196, color='k', alpha=0.25, lw=1)
    axes.text(205, axes.get_ylim()[0] * 1.5, '224 x 224 pixels', fontsize=9, alpha=0.7)
    axes.axvline(4096, color='k', alpha=0.25, lw=1)
    axes.text(4280, axes.get_ylim()[0] * 1.5, '1024 x 1024 pixels', fontsize=9, alpha=0.7)
    axes.set(xlabel='tokens', ylabel='multiply-adds of one layer (G)')
    axes.legend()
    axes.grid(alpha=0.2)
    save(figure, target)


if __name__ == '__main__':
    draw(Path('cost.svg'))
