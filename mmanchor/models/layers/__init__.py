"""Blocks that several models share."""
from .attention import (LearnedAnchorAttention, SoftmaxAttention,
                        TokenAnchorAttention)
from .block import TransformerBlock
from .shuffle_block import EnhancedShuffleBlock, EnhancedShuffleDownBlock
from .token_grid import even_token_indices, resize_position_embedding

__all__ = [
    'EnhancedShuffleBlock', 'EnhancedShuffleDownBlock',
    'LearnedAnchorAttention', 'SoftmaxAttention', 'TokenAnchorAttention',
    'TransformerBlock', 'even_token_indices', 'resize_position_embedding'
]
