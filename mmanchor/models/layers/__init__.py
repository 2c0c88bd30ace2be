"""Blocks that several models share."""

from .attention import SoftmaxAttention, TokenAnchorAttention
from .block import TransformerBlock
from .conv_bn import ConvBN, LinearBN
from .learned_attention import LearnedAnchorAttention
from .levit_attention import LevitAnchorAttention, LevitSoftmaxAttention
from .levit_block import LevitBlock
from .shuffle_block import EnhancedShuffleBlock, EnhancedShuffleDownBlock
from .sparse_attention import SparsifinerAttention
from .sparsifiner_block import SparsifinerBlock
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
