"""Attentions, blocks and other parts that the backbones are built from."""

from .attention import SoftmaxAttention, TokenAnchorAttention
from .block import TransformerBlock
from .conv_bn import ConvBN, LinearBN
from .learned_attention import LearnedAnchorAttention
from .levit import LevitAnchorAttention, LevitBlock, LevitSoftmaxAttention
from .shuffle_block import EnhancedShuffleBlock, EnhancedShuffleDownBlock
from .sparsifiner import SparsifinerAttention, SparsifinerBlock
from .token_grid import even_token_indices, resize_position_embedding

__all__ = [
    'ConvBN',
    'EnhancedShuffleBlock',
    'EnhancedShuffleDownBlock',
    'LearnedAnchorAttention',
    'LevitAnchorAttention',
    'LevitBlock',
    'LevitSoftmaxAttention',
    'LinearBN',
    'SoftmaxAttention',
    'SparsifinerAttention',
    'SparsifinerBlock',
    'TokenAnchorAttention',
    'TransformerBlock',
    'even_token_indices',
    'resize_position_embedding',
]
