"""LeViT: its attention, by softmax or through anchors, and its block."""

from .attention import LevitAnchorAttention, LevitAttention, LevitSoftmaxAttention, stretch_biases
from .block import LevitBlock

__all__ = [
    'LevitAnchorAttention',
    'LevitAttention',
    'LevitBlock',
    'LevitSoftmaxAttention',
    'stretch_biases',
]
