"""The predictor of Sparsifiner: which pairs of tokens matter."""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ....ops import sparse_attention as ops
from ..attention import LINEAR_INIT
from ..token_grid import resize_position_embedding
from ..token_layout import TokenLayout


class ConnectivityPredictor(BaseModule):
    """Low-rank attention that predicts which pairs of tokens matter.

    Args:
        head_dims: D; queries and keys are reduced to D // 2.
        num_heads: Number of heads. They share these weights; their number
            scales the scores, as in the released code.
        grid: (H, W) of the token map that the weights are made for.
        num_extra: E, number of extra tokens.
        num_basis: K, number of basis vectors.
        num_coefficients: How many of a token's K coefficients are used, the
            largest ones.
        threshold: Entries of the basis up to this value count as 0.
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
            queries: Queries of the rows, (B, heads, R, D).
            keys: Keys of the tokens, (B, heads, N, D).
            layout: Layout of the tokens.

        Returns:
            (B, heads, R, K), and (N, K) or (B, 1, N, K).
        """
        compress, basis = (layout.select(each) for each in self.position_weights(layout.hw_shape))
        coefficients = ops.basis_coefficients(
            self.query_proj(queries), self.key_proj(keys), compress, self.scale
        )
        return coefficients, basis

    def position_weights(self, hw_shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """``compress`` and ``basis``, resized to a map.

        Args:
            hw_shape: Height and width of the map in tokens.

        Returns:
            ``compress`` and ``basis``, (E + H * W, K) both.
        """
        if tuple(hw_shape) == self.grid:
            return self.compress, self.basis
        return (
            resize_token_axis(self.compress, self.num_extra, self.grid, hw_shape, sums=True),
            resize_token_axis(self.basis, self.num_extra, self.grid, hw_shape),
        )


def resize_token_axis(
    weights: Tensor,
    num_extra: int,
    source: tuple[int, int],
    target: tuple[int, int],
    sums: bool = False,
) -> Tensor:
    """Resize weights of tokens to another map, by bicubic interpolation.

    Args:
        weights: (E + h * w, K).
        num_extra: E, number of extra tokens; their rows are not changed.
        source: (h, w), in tokens.
        target: (H, W), in tokens.
        sums: Whether tokens are summed with these weights. The total weight
            of the patches is then kept: in a finer map each has less.

    Returns:
        (E + H * W, K).
    """
    resized = resize_position_embedding(weights[None], source, target, num_extra)[0]
    if not sums:
        return resized
    ratio = source[0] * source[1] / (target[0] * target[1])
    return torch.cat((resized[:num_extra], resized[num_extra:] * ratio))


def resize_basis_axis(weights: Tensor, num_basis: int) -> Tensor:
    """Repeat or drop basis vectors until there are ``num_basis``.

    Basis vectors have no order, so they cannot be interpolated. A repeated
    one shares its coefficient with its copies, so that repeating each once
    changes nothing before the largest coefficients are taken.

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
