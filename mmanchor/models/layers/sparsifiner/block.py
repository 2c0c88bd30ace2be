"""The transformer block of Sparsifiner, which may prune tokens."""

import math
from typing import NamedTuple

from torch import Tensor

from ..block import TransformerBlock
from ..token_layout import TokenLayout
from .attention import SparsifinerAttention


class BlockOutput(NamedTuple):
    """Output of a block.

    Args:
        tokens: (B, E + T, C).
        layout: Their layout.
        loss: The reconstruction loss of the attention, a scalar; ``None``
            outside training.
    """

    tokens: Tensor
    layout: TokenLayout
    loss: Tensor | None


class SparsifinerBlock(TransformerBlock):
    """A pre-norm block on :class:`SparsifinerAttention`.

    Args:
        embed_dims, attention, **kwargs: As in :class:`TransformerBlock`; the
            attention is a ``SparsifinerAttention``.
        token_keep_rate: Share of the map's patches that are left after this
            block, in (0, 1]: those that the class token attends to most,
            averaged over the heads.
    """

    attn: SparsifinerAttention

    def __init__(
        self, embed_dims: int, attention: dict, *, token_keep_rate: float = 1.0, **kwargs
    ) -> None:
        super().__init__(embed_dims, attention, **kwargs)
        self.token_keep_rate = token_keep_rate

    def forward(  # type: ignore[override]  # one trunk calls either with its own
        self, x: Tensor, layout: TokenLayout
    ) -> BlockOutput:
        """(B, E + T, C) -> tokens, layout and reconstruction loss."""
        mixed = self.attn.attend(self.norm1(x), layout)
        x = x + self.drop_path(mixed.tokens)
        x = self.mlp(self.norm2(x), identity=x)
        if self.token_keep_rate < 1:
            assert mixed.class_weights is not None  # pruning needs a class token
            num_kept = self.num_kept(layout)
            x, layout = layout.prune(x, mixed.class_weights, num_kept)
        return BlockOutput(x, layout, mixed.loss)

    def num_kept(self, layout: TokenLayout) -> int:
        """Number of patches of a map that are left after this block."""
        height, width = layout.hw_shape
        return math.ceil(self.token_keep_rate * height * width)
