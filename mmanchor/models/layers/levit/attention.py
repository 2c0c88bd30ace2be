"""LeViT's attention, by softmax or through anchors.

Both can subsample: only every second token of every second row then has a
query, and the output map has a quarter of the tokens.
"""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....ops import (
    anchor_attention,
    anchor_cross_attention,
    attention_from_scores,
    cross_attention_from_scores,
)
from ..attention import check_num_anchors
from ..conv_bn import LinearBN, fold_checkpoint
from ..token_grid import infer_grid


class LevitAttention(nn.Module):
    """Project tokens, mix them, project them back; a subclass mixes.

    LeViT (arXiv 2104.01136, Section 4): values are wider than keys, every
    projection is followed by batch normalization, and a hard swish precedes
    the last one. The rows of a head are next to each other in the weight: its
    queries, if it has any, then its keys, then its values.

    Args:
        embed_dims: C, the width of a token.
        num_heads: Number of heads.
        key_dims: D, the width of a head's keys.
        value_dims: Dv, the width of a head's values.
        out_dims: Width of a token of the output; ``None`` keeps C.
        stride: 1, or 2 to subsample.
    """

    # Whether tokens have queries without subsampling, too.
    has_queries: bool

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        key_dims: int,
        *,
        value_dims: int,
        out_dims: int | None = None,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.key_dims = key_dims
        self.value_dims = value_dims
        self.stride = stride
        num_keys = 2 if stride == 1 and self.has_queries else 1
        self.in_proj = LinearBN(embed_dims, num_heads * (num_keys * key_dims + value_dims))
        self.query_proj = LinearBN(embed_dims, num_heads * key_dims) if stride > 1 else None
        self.act = nn.Hardswish()
        # A residual branch starts at zero. A subsampling attention is none.
        self.proj = LinearBN(
            num_heads * value_dims, out_dims or embed_dims, gain=0.0 if stride == 1 else 1.0
        )

    def forward(self, x: Tensor, hw_shape: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        """Mix tokens.

        Args:
            x: Tokens, (B, H * W, C).
            hw_shape: (H, W), in tokens.

        Returns:
            Mixed tokens, (B, H' * W', out_dims), and (H', W'), which are
            (H, W) over the stride, rounded up.
        """
        projected = self._split_heads(self.in_proj(x))
        queries, hw_out = None, hw_shape
        if self.query_proj is not None:
            x, hw_out = self._subsample(x, hw_shape)
            queries = self._split_heads(self.query_proj(x))
        x = self.mix(projected, queries, hw_shape)  # (B, heads, N', Dv)
        return self.proj(self.act(x.transpose(1, 2).flatten(2))), hw_out

    def _subsample(self, x: Tensor, hw_shape: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        """The tokens that stay, (B, H' * W', C), and (H', W')."""
        # Not a slice: whether a slice can be flattened without a copy depends
        # on the sizes, which would tie an exported graph to them.
        rows, columns = (torch.arange(0, side, self.stride, device=x.device) for side in hw_shape)
        x = x.unflatten(1, hw_shape).index_select(1, rows)
        x = x.index_select(2, columns)
        return x.flatten(1, 2), (x.shape[1], x.shape[2])

    @abstractmethod
    def mix(self, projected: Tensor, queries: Tensor | None, hw_shape: tuple[int, int]) -> Tensor:
        """Mix values.

        Args:
            projected: Output of ``in_proj``, (B, heads, N, P).
            queries: Queries of a subsampling, (B, heads, N', D), else ``None``.
            hw_shape: (H, W), H * W = N.

        Returns:
            (B, heads, N', Dv), without subsampling N' = N.
        """

    def _split_heads(self, x: Tensor) -> Tensor:
        """(B, N, heads * P) -> (B, heads, N, P)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class LevitSoftmaxAttention(LevitAttention):
    """LeViT's own attention: softmax with a bias for the offset of two tokens.

    Each head has one bias for every pair (``|dy|, |dx|``), that is a table of
    h x w for a map of h x w tokens. For a map of another size the table is
    stretched by bicubic interpolation with aligned corners; so is that of a
    checkpoint of another size when it is loaded.

    Args:
        embed_dims, num_heads, key_dims, **kwargs: As in
            :class:`LevitAttention`.
        grid: (h, w) of the map that the table is made for, in tokens.

    Example:
        >>> attention = LevitSoftmaxAttention(32, 2, 16, value_dims=32, grid=(4, 4))
        >>> attention(torch.rand(2, 16, 32), (4, 4))[0].shape
        torch.Size([2, 16, 32])
    """

    has_queries = True

    def __init__(
        self, embed_dims: int, num_heads: int, key_dims: int, *, grid: tuple[int, int], **kwargs
    ) -> None:
        super().__init__(embed_dims, num_heads, key_dims, **kwargs)
        self.grid = (grid[0], grid[1])
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, grid[0] * grid[1]))

    def mix(self, projected: Tensor, queries: Tensor | None, hw_shape: tuple[int, int]) -> Tensor:
        if queries is None:
            queries, projected = projected.tensor_split((self.key_dims,), -1)
        keys, values = projected.tensor_split((self.key_dims,), -1)
        # Not scaled_dot_product_attention: its fast kernels need Dv = D.
        scores = queries @ keys.transpose(-2, -1) * self.key_dims**-0.5
        weights = (scores + self.position_bias(hw_shape)).softmax(dim=-1)
        return weights @ values

    def position_bias(self, hw_shape: tuple[int, int]) -> Tensor:
        """The bias of every pair of query and key.

        Args:
            hw_shape: (H, W), in tokens.

        Returns:
            (heads, H' * W', H * W), with H' and W' of :meth:`forward`.
        """
        table: Tensor = self.attention_biases
        if tuple(hw_shape) != self.grid:
            table = stretch_biases(table, self.grid, hw_shape)
        rows, columns = (self._offsets(side) for side in hw_shape)
        bias = table.unflatten(1, hw_shape)[:, rows[:, None, :, None], columns[None, :, None, :]]
        return bias.flatten(3).flatten(1, 2)

    def _offsets(self, side: int) -> Tensor:
        """|query - key| along an axis, (ceil(side / stride), side)."""
        keys = torch.arange(side, device=self.attention_biases.device)
        return (keys[:: self.stride, None] - keys).abs()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Stretch a table of another size to the size of this one."""
        name = f'{prefix}attention_biases'
        table = state_dict.get(name)
        own = self.attention_biases
        if table is not None and table.dim() == 2 and table.shape[1] != own.shape[1]:
            source = infer_grid(table.shape[1], self.grid)
            if source is not None:
                state_dict[name] = stretch_biases(table, source, self.grid)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class LevitAnchorAttention(LevitAttention):
    r"""LeViT's attention through learned anchors (AnchorFormer, Fig. 5b).

    AnchorFormer (arXiv 2505.16463) does not say how it changes LeViT; this is
    Eq. 12 with LeViT's widths. Tokens have keys and values, but no queries.
    In a subsampling attention the tokens that stay have queries, as in LeViT,
    and share the anchors with the keys:
    :math:`H = A_q \Delta^{-1} A_k^\top V` of
    :func:`~mmanchor.ops.anchor_cross_attention`. LeViT's biases have no
    place, since there is no N x N matrix to add them to; positions must come
    with the tokens.

    The deploy form folds projections and anchors into one projection to
    scores if that takes fewer multiply-adds, M (C - D) < C D, which is for
    up to about D anchors.

    Args:
        embed_dims, num_heads, key_dims, **kwargs: As in
            :class:`LevitAttention`.
        num_anchors: M, number of anchors.
        per_head_anchors: Whether each head has its own anchors.

    Example:
        >>> attention = LevitAnchorAttention(32, 2, 16, value_dims=64, stride=2, num_anchors=8)
        >>> x, hw_shape = attention(torch.rand(2, 15, 32), (3, 5))
        >>> x.shape, hw_shape
        (torch.Size([2, 6, 32]), (2, 3))
    """

    has_queries = False

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        key_dims: int,
        *,
        num_anchors: int = 30,
        per_head_anchors: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(embed_dims, num_heads, key_dims, **kwargs)
        check_num_anchors(num_anchors)
        self.num_anchors = num_anchors
        heads = (num_heads,) if per_head_anchors else ()
        self.anchors_shape = (*heads, num_anchors, key_dims)
        self.anchors: nn.Parameter | None = nn.Parameter(torch.randn(self.anchors_shape))
        self.folds = num_anchors * (embed_dims - key_dims) < embed_dims * key_dims
        self.deploy = False

    def mix(self, projected: Tensor, queries: Tensor | None, hw_shape: tuple[int, int]) -> Tensor:
        width = projected.shape[-1] - self.value_dims
        keys, values = projected.tensor_split((width,), -1)
        if self.anchors is None:
            if queries is None:
                return attention_from_scores(keys, values)
            return cross_attention_from_scores(queries, keys, values)
        if queries is None:
            return anchor_attention(keys, values, self.anchors)
        return anchor_cross_attention(queries, keys, values, self.anchors)

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold normalizations and anchors, in place; exact."""
        if self.deploy:
            return
        self.deploy = True
        for part in (self.in_proj, self.query_proj, self.proj):
            if part is not None:
                part.switch_to_deploy()
        if not self.folds or self.anchors is None:
            return
        for part in (self.in_proj, self.query_proj):
            if part is not None:
                part.linear = self._folded(part.linear, self.anchors)
        self.anchors = None

    def _folded(self, linear: nn.Linear, anchors: Tensor) -> nn.Linear:
        weight = self._fold(linear.weight, anchors)
        folded = nn.Linear(
            linear.in_features, weight.shape[0], device=weight.device, dtype=weight.dtype
        )
        folded.weight.copy_(weight)
        folded.bias.copy_(self._fold(linear.bias, anchors))
        return folded.requires_grad_(linear.weight.requires_grad)

    def _fold(self, param: Tensor, anchors: Tensor) -> Tensor:
        """Replace the D rows of each head's keys by M rows of scores.

        Args:
            param: A weight (heads * (D + V), C) or a bias (heads * (D + V),);
                V is Dv for keys with values and 0 for queries.
            anchors: (M, D) or (heads, M, D).
        """
        rows = param.reshape(self.num_heads, -1, param[0].numel())
        keys, values = rows.tensor_split((self.key_dims,), 1)
        scores = anchors.double() @ keys.double() * self.key_dims**-0.5
        rows = torch.cat((scores.to(param.dtype), values), dim=1)
        return rows.reshape(-1, *param.shape[1:])

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Let the deploy form load a checkpoint of the training form."""
        anchors = state_dict.get(f'{prefix}anchors')
        if self.anchors is None and anchors is not None and anchors.shape == self.anchors_shape:
            del state_dict[f'{prefix}anchors']
            self._fold_part(
                state_dict,
                f'{prefix}in_proj.',
                self.in_proj,
                self.key_dims + self.value_dims,
                anchors,
            )
            if self.query_proj is not None:
                self._fold_part(
                    state_dict, f'{prefix}query_proj.', self.query_proj, self.key_dims, anchors
                )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _fold_part(
        self, state_dict: dict, prefix: str, part: LinearBN, width: int, anchors: Tensor
    ) -> None:
        """Fold normalization and anchors of a projection, ``width`` rows a head.

        Entries of another shape are left for torch to report.
        """
        fold_checkpoint(state_dict, prefix, part.eps)
        for name in (f'{prefix}linear.weight', f'{prefix}linear.bias'):
            param = state_dict.get(name)
            if param is not None and len(param) == self.num_heads * width:
                state_dict[name] = self._fold(param, anchors)


def stretch_biases(table: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Resize biases (heads, h * w) of an h x w map to an H x W map."""
    wide = torch.promote_types(table.dtype, torch.float32)
    maps = table.to(wide).unflatten(1, source)[None]
    maps = F.interpolate(maps, size=tuple(target), mode='bicubic', align_corners=True)
    return maps[0].flatten(1).to(table.dtype)
