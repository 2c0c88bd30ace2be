"""Sparsifiner's attention: each token attends to a few predicted tokens."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ....ops import sparse_attention as ops
from ....registry import MODELS
from ..attention import Attention
from ..exporting import is_exporting
from ..token_layout import TokenLayout
from .macs import SparseMacs
from .predictor import ConnectivityPredictor

EXECUTIONS = {'masked': ops.masked_attention, 'gathered': ops.gathered_attention}
# The basis approximates attention weights among this many tokens, those of
# 224 x 224 pixels, so that its threshold means the same at every size.
REFERENCE_TOKENS = 197


class SparseMix(NamedTuple):
    """Output of sparse attention.

    Args:
        tokens: Mixed tokens, (B, N, C).
        class_weights: Attention weights of the first extra token to the
            patches, averaged over the heads, (B, N - E); ``None`` without
            extra tokens.
        loss: The reconstruction loss, a scalar; ``None`` outside training.
    """

    tokens: Tensor
    class_weights: Tensor | None
    loss: Tensor | None


@MODELS.register_module()
class SparsifinerAttention(Attention):
    r"""Softmax attention over pairs of tokens that a low-rank predictor selects.

    Sparsifiner (arXiv 2303.13755), in the conventions of its released code:
    every token except the extra ones attends to the ceil(keep_rate * N)
    tokens with the largest connectivity. The predictor is trained by a
    reconstruction loss alone, whose gradient does not reach the trunk.

    Args:
        embed_dims, num_heads: As in :class:`Attention`.
        grid: (H, W) of the token map that the weights are made for; for any
            other size they are resized on the fly.
        num_extra: E, number of extra tokens, which come first. Their rows
            stay dense.
        keep_rate: Share of the tokens that a token attends to, in (0, 1].
        num_basis: K, number of basis vectors; ``None`` takes N // 6, as the
            released code does.
        num_coefficients: How many of a token's K coefficients are used, the
            largest ones.
        basis_threshold: Entries of the basis up to this value count as 0.
        execution: 'masked' computes all pairs and masks, 'gathered' computes
            only the kept ones; the result is the same. Exported graphs mask.
        qkv_bias: Whether the input projection has a bias.
        proj_drop: Dropout rate of the output, in [0, 1].
        init_cfg: MMEngine's initialization config.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> attention = SparsifinerAttention(32, num_heads=2, grid=(3, 3))
        >>> attention(torch.rand(1, 10, 32)).shape
        torch.Size([1, 10, 32])
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        *,
        grid: tuple[int, int],
        num_extra: int = 1,
        keep_rate: float = 0.25,
        num_basis: int | None = None,
        num_coefficients: int = 8,
        basis_threshold: float = 0.02,
        execution: str = 'masked',
        qkv_bias: bool = True,
        proj_drop: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            embed_dims,
            num_heads,
            num_projections=3,
            qkv_bias=qkv_bias,
            proj_drop=proj_drop,
            init_cfg=init_cfg,
        )
        if self.head_dims < 2:
            raise ValueError(
                f'embed_dims={embed_dims} must be at least twice '
                f'num_heads={num_heads}, since the predictor halves the heads'
            )
        if execution not in EXECUTIONS:
            raise ValueError(f'execution must be one of {sorted(EXECUTIONS)}, got {execution!r}')
        num_tokens = num_extra + grid[0] * grid[1]
        if num_basis is None:
            num_basis = max(num_tokens // 6, 1)
        for name, value in (('num_basis', num_basis), ('num_coefficients', num_coefficients)):
            if value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}')
        self.keep_rate = check_keep_rate(keep_rate, 'keep_rate')
        self.num_extra = num_extra
        self.execution = execution
        self.predictor = ConnectivityPredictor(
            self.head_dims,
            num_heads,
            (grid[0], grid[1]),
            num_extra,
            num_basis,
            num_coefficients,
            basis_threshold,
        )

    def mix(self, x: Tensor, hw_shape: tuple[int, int] | None) -> tuple[Tensor, Tensor]:
        queries, keys, values = self._split_heads(self.in_proj(x))
        layout = self._layout(x, hw_shape)
        return self._mix(queries, keys, values, layout)[0], values

    def attend(self, x: Tensor, layout: TokenLayout) -> SparseMix:
        """Mix tokens, and return what pruning and training need.

        Args:
            x: Tokens that are left, (B, E + T, C).
            layout: Their layout.

        Returns:
            Mixed tokens, class weights and loss.
        """
        queries, keys, values = self._split_heads(self.in_proj(x))
        out, weights, loss = self._mix(queries, keys, values, layout)
        tokens = self.proj_drop(self.proj(self._merge_heads(out)))
        if weights is not None:
            weights = weights[:, :, 0, self.num_extra :].mean(dim=1)
        return SparseMix(tokens, weights, loss)

    def kept_pairs(self, x: Tensor, hw_shape: tuple[int, int] | None = None) -> Tensor:
        """Which tokens each token attends to.

        Args:
            x: All tokens, (B, N, C).
            hw_shape: As in :meth:`forward`.

        Returns:
            (B, heads, N, N), bool; the rows of extra tokens are all true.
        """
        queries, keys, _ = self._split_heads(self.in_proj(x))
        rows = queries[:, :, self.num_extra :]
        indices, _ = self._choose(rows, keys, self._layout(x, hw_shape))
        mask = ops.pairs_to_mask(indices, x.shape[1])
        dense = torch.ones_like(mask[:, :, :1]).expand(-1, -1, self.num_extra, -1)
        return torch.cat((dense, mask), dim=2)

    def macs(self, layout: TokenLayout, num_left: int) -> SparseMacs:
        """Multiply-adds for one image, see :class:`SparseMacs`.

        Args:
            layout: Layout of all tokens.
            num_left: Number of tokens that are left in this layer.
        """
        pairs = self._budget(layout.num_tokens, num_left)
        return SparseMacs.count(self, num_left, pairs)

    def _layout(self, x: Tensor, hw_shape: tuple[int, int] | None) -> TokenLayout:
        """The layout of unpruned tokens."""
        layout = TokenLayout(hw_shape or self.predictor.grid, self.num_extra)
        if x.shape[1] != layout.num_tokens:
            raise ValueError(
                f'{self.num_extra} extra tokens and a map of '
                f'{" x ".join(map(str, layout.hw_shape))} are '
                f'{layout.num_tokens} tokens, got {x.shape[1]}'
            )
        return layout

    def _budget(self, num_tokens: int, num_left: int) -> int:
        """Number of tokens that a row keeps.

        As in the released code it is a share of all tokens, and after pruning
        at most the number of patches that are left.

        Args:
            num_tokens: N, number of all tokens, pruned ones included.
            num_left: E + T, number of tokens that are left.
        """
        budget = math.ceil(self.keep_rate * num_tokens)
        if num_left < num_tokens:
            budget = min(budget, num_left - self.num_extra)
        return min(budget, num_left)

    def _choose(
        self, rows: Tensor, keys: Tensor, layout: TokenLayout
    ) -> tuple[Tensor, Tensor | None]:
        """The kept pairs (B, heads, R, L), and in training low-rank attention.

        Args:
            rows: Queries of the patches, (B, heads, R, D).
            keys: (B, heads, N, D).
            layout: Layout of the tokens.
        """
        # The reconstruction loss trains the predictor, not the trunk.
        coefficients, basis = self.predictor(rows.detach(), keys.detach(), layout)
        num_left = keys.shape[2]
        scores = ops.connectivity_scores(
            coefficients, basis, self.predictor.num_coefficients, self.predictor.threshold
        )
        indices = ops.strongest_pairs(scores, self._budget(layout.num_tokens, num_left))
        if not self.training:
            return indices, None
        approximation = ops.low_rank_attention(coefficients, basis)
        return indices, approximation * (REFERENCE_TOKENS / num_left)

    def _mix(
        self, queries: Tensor, keys: Tensor, values: Tensor, layout: TokenLayout
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Mixed values (B, heads, N, D), weights of the dense rows, and loss."""
        extra, rows = queries.split((self.num_extra, queries.shape[2] - self.num_extra), dim=2)
        num_left = keys.shape[2]
        loss = weights = None
        is_dense = self._budget(layout.num_tokens, num_left) == num_left
        if self.training or not is_dense:
            indices, approximation = self._choose(rows, keys, layout)
            if approximation is not None:
                loss = ops.reconstruction_loss(rows, keys, approximation)
        if is_dense:
            out = F.scaled_dot_product_attention(rows, keys, values)
        else:
            # Gathering reads a sparse matrix, which exporters do not support.
            name = 'masked' if is_exporting() else self.execution
            out = EXECUTIONS[name](rows, keys, values, indices)
        if self.num_extra:
            dense, weights = ops.dense_attention(extra, keys, values, layout.num_absent)
            out = torch.cat((dense, out), dim=2)
        return out, weights, loss


def check_keep_rate(rate: float, name: str) -> float:
    """Return ``rate`` if it is in (0, 1].

    Raises:
        ValueError: If it is not; the message names the argument ``name``.
    """
    if not 0 < rate <= 1:
        raise ValueError(f'{name} must be in (0, 1], got {rate}')
    return rate
