"""Sparsifiner's attention: each token attends to a few predicted ones."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...ops import sparse_attention as ops
from ...registry import MODELS
from .attention import LINEAR_INIT, Attention
from .exporting import is_exporting
from .sparse_macs import SparseMacs
from .token_grid import resize_position_embedding
from .token_pruning import TokenLayout

EXECUTIONS = {'masked': ops.masked_attention, 'gathered': ops.gathered_attention}
# The basis is in units of the attention among so many tokens, those of
# 224 x 224 pixels, so that its threshold means the same at every size.
REFERENCE_TOKENS = 197


class SparseMix(NamedTuple):
    """What sparse attention gives.

    Args:
        tokens: (B, N, C).
        class_weights: Attention of the first extra token to the patches,
            mean of the heads, (B, N - E); ``None`` without extra tokens.
        loss: The reconstruction loss, a scalar; ``None`` outside training.
    """

    tokens: Tensor
    class_weights: Tensor | None
    loss: Tensor | None


class ConnectivityPredictor(BaseModule):
    """Low-rank attention that tells which pairs of tokens matter.

    Args:
        head_dims: D; queries and keys are reduced to D // 2.
        num_heads: Number of heads. All share these weights; the number
            scales the scores, as in the released code.
        grid: (H, W) of the token map that the tokens' weights are made for.
        num_extra: E, number of extra tokens.
        num_basis: K, number of basis vectors.
        num_coefficients: How many of a token's K coefficients count.
        threshold: Entries of the basis up to it count as 0.
    """

    def __init__(
        self,
        head_dims: int,
        num_heads: int,
        grid: tuple[int, int],
        num_extra: int,
        num_basis: int,
        num_coefficients: int,
        threshold: float,
    ) -> None:
        super().__init__(LINEAR_INIT)
        self.grid = grid
        self.num_extra = num_extra
        self.num_coefficients = num_coefficients
        self.threshold = threshold
        self.scale = num_heads**-0.5
        self.query_proj = nn.Linear(head_dims, head_dims // 2)
        self.key_proj = nn.Linear(head_dims, head_dims // 2)
        num_tokens = num_extra + grid[0] * grid[1]
        self.compress = nn.Parameter(torch.empty(num_tokens, num_basis))
        self.basis = nn.Parameter(torch.empty(num_tokens, num_basis))
        for param in (self.compress, self.basis):
            nn.init.trunc_normal_(param, std=0.02)

    def forward(self, queries: Tensor, keys: Tensor, layout: TokenLayout) -> tuple[Tensor, Tensor]:
        """Coefficients of the rows, and the basis that they refer to.

        Args:
            queries: (B, heads, R, D).
            keys: (B, heads, N, D).
            layout: Where the N tokens stand.

        Returns:
            (B, heads, R, K), and (N, K) or (B, 1, N, K).
        """
        compress, basis = (layout.select(each) for each in self.position_weights(layout.hw_shape))
        coefficients = ops.basis_coefficients(
            self.query_proj(queries), self.key_proj(keys), compress, self.scale
        )
        return coefficients, basis

    def position_weights(self, hw_shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Weights of the tokens for a map of another size.

        Args:
            hw_shape: Height and width in tokens.

        Returns:
            ``compress`` and ``basis``, (E + H * W, K) both.
        """
        if tuple(hw_shape) == tuple(self.grid):
            return self.compress, self.basis
        source = self.num_extra, self.grid
        return (
            resize_token_axis(self.compress, *source, hw_shape, sums=True),
            resize_token_axis(self.basis, *source, hw_shape),
        )


@MODELS.register_module()
class SparsifinerAttention(Attention):
    r"""Softmax attention over those pairs that a low-rank copy finds strong.

    Sparsifiner (arXiv 2303.13755), in the conventions of its released code:
    every token but the extra ones attends to the ceil(keep_rate * N) tokens
    with the largest connectivity. The predictor learns from a reconstruction
    loss alone, which leaves the trunk as it is.

    Args:
        embed_dims, num_heads: As :class:`Attention` has them.
        grid: (H, W) of the token map that weights are made for; at any other
            size they are resized on the fly.
        num_extra: Number of extra tokens, which stand first. Their rows stay
            dense.
        keep_rate: Share of the tokens that a token attends to, in (0, 1].
        num_basis: K, number of basis vectors; ``None`` takes N // 6, as the
            release does.
        num_coefficients: How many of a token's K coefficients count.
        basis_threshold: Entries of the basis up to it count as 0.
        execution: 'masked' multiplies all pairs and masks, 'gathered'
            multiplies the kept ones alone; the result is the same. Exported
            graphs mask.
        qkv_bias: Whether the input projection has a bias.
        proj_drop: Dropout rate of the output, in [0, 1].
        init_cfg: MMEngine's initialisation config.

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
                f'num_heads={num_heads}, as heads are halved to predict'
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
            tuple(grid),
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
        """Mix tokens, and say what pruning and training need to know.

        Args:
            x: Tokens that are left, (B, E + T, C).
            layout: Where they stand.

        Returns:
            The mixed tokens and the rest.
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
            x: Tokens, (B, N, C), none pruned.
            hw_shape: As in forward.

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
        """Multiply-adds of one image; see :class:`SparseMacs`.

        Args:
            layout: Of all tokens.
            num_left: How many tokens are left in this layer.
        """
        pairs = self._budget(layout.num_tokens, num_left)
        return SparseMacs.count(self, num_left, pairs)

    def _layout(self, x: Tensor, hw_shape: tuple[int, int] | None) -> TokenLayout:
        """The layout of unpruned tokens."""
        layout = TokenLayout(tuple(hw_shape or self.predictor.grid), self.num_extra)
        if x.shape[1] != layout.num_tokens:
            raise ValueError(
                f'{self.num_extra} extra tokens and a map of '
                f'{" x ".join(map(str, layout.hw_shape))} are '
                f'{layout.num_tokens} tokens, got {x.shape[1]}'
            )
        return layout

    def _budget(self, num_tokens: int, num_left: int) -> int:
        """How many tokens a row keeps.

        As in the release it is a share of all tokens, and after pruning at
        most the number of patches that are left.

        Args:
            num_tokens: N of all tokens, pruned ones included.
            num_left: E + T.
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
            layout: Where the tokens stand.
        """
        # The reconstruction trains the predictor; the trunk has its own loss.
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
        """Mixed values (B, heads, N, D), dense rows' weights, and loss."""
        extra, rows = queries.split((self.num_extra, queries.shape[2] - self.num_extra), dim=2)
        num_left = keys.shape[2]
        loss = weights = indices = None
        is_dense = self._budget(layout.num_tokens, num_left) == num_left
        if self.training or not is_dense:
            indices, approximation = self._choose(rows, keys, layout)
        if self.training:
            loss = ops.reconstruction_loss(rows, keys, approximation)
        if is_dense:
            out = F.scaled_dot_product_attention(rows, keys, values)
        else:
            # Gathering reads a sparse matrix, which no exporter knows.
            name = 'masked' if is_exporting() else self.execution
            out = EXECUTIONS[name](rows, keys, values, indices)
        if self.num_extra:
            dense, weights = ops.dense_attention(extra, keys, values, layout.num_absent)
            out = torch.cat((dense, out), dim=2)
        return out, weights, loss


def check_keep_rate(rate: float, name: str) -> float:
    """``rate`` if it is in (0, 1].

    Raises:
        ValueError: If it is not; the message calls it ``name``.
    """
    if not 0 < rate <= 1:
        raise ValueError(f'{name} must be in (0, 1], got {rate}')
    return rate


def resize_token_axis(
    weights: Tensor,
    num_extra: int,
    source: tuple[int, int],
    target: tuple[int, int],
    sums: bool = False,
) -> Tensor:
    """Resize weights of the tokens to another map, by bicubic interpolation.

    Args:
        weights: (E + h * w, K).
        num_extra: E; their rows are kept.
        source: (h, w), in tokens.
        target: (H, W), in tokens.
        sums: Whether tokens are summed with these weights. Then the patches'
            share is kept: a finer map has more tokens, of smaller weight.

    Returns:
        (E + H * W, K).
    """
    resized = resize_position_embedding(weights[None], source, target, num_extra)[0]
    if not sums:
        return resized
    ratio = source[0] * source[1] / (target[0] * target[1])
    return torch.cat((resized[:num_extra], resized[num_extra:] * ratio))


def resize_basis_axis(weights: Tensor, num_basis: int) -> Tensor:
    """Repeat or leave out basis vectors until there are ``num_basis``.

    They have no order in which to interpolate. A repeated one shares its
    coefficient with its copies, so that twice as many of each change nothing
    before the largest coefficients are taken.

    Args:
        weights: (N, k).
        num_basis: K.

    Returns:
        (N, K).

    Example:
        >>> resize_basis_axis(torch.tensor([[1.0, 2.0]]), 4).tolist()
        [[1.0, 1.0, 2.0, 2.0]]
    """
    index = torch.arange(num_basis, device=weights.device)
    return weights[:, index * weights.shape[1] // num_basis]
