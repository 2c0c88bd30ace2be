"""The attentions that a config chooses between (Table 4 of the paper).

All three (learned anchors are in :mod:`.learned_attention`) map tokens
(B, N, C) to tokens (B, N, C) and have the arguments of :class:`Attention`.
"""

from abc import abstractmethod

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...ops import anchor_attention, refine_anchors
from ...registry import MODELS
from .token_grid import even_token_indices

# That of DeiT: normal with standard deviation 0.02, cut at 2; biases zero.
LINEAR_INIT = dict(type='TruncNormal', layer='Linear', std=0.02)

# The short names that backbones accept.
ATTENTIONS = {
    'learned': 'mmanchor.LearnedAnchorAttention',
    'token': 'mmanchor.TokenAnchorAttention',
    'softmax': 'mmanchor.SoftmaxAttention',
}


class Attention(BaseModule):
    """Project tokens, mix them, project them back; a subclass mixes.

    Args:
        embed_dims: C, the width of a token.
        num_heads: Number of heads; it divides ``embed_dims``.
        num_projections: Number of C-wide outputs of the input projection, such
            as 3 for queries, keys and values.
        qkv_bias: Whether the input projection has a bias.
        depthwise: Add a depth-wise 3 x 3 convolution of the values to the
            output. It makes up for the low rank of attention through few
            anchors. It needs ``hw_shape`` in forward and does not change
            extra tokens.
        proj_drop: Dropout rate of the output, in [0, 1].
        init_cfg: MMEngine's initialization config; ``None`` takes
            :data:`LINEAR_INIT`.

    Raises:
        ValueError: If ``num_heads`` does not divide ``embed_dims``.
    """

    # Arguments of the backbone that are passed on to this attention.
    backbone_args: tuple[str, ...] = ()

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        *,
        num_projections: int,
        qkv_bias: bool = False,
        depthwise: bool = False,
        proj_drop: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg or LINEAR_INIT)
        if num_heads < 1 or embed_dims % num_heads:
            raise ValueError(
                f'num_heads must divide embed_dims={embed_dims}, got num_heads={num_heads}'
            )
        self.embed_dims = embed_dims
        self.num_heads = num_heads
        self.head_dims = embed_dims // num_heads
        self.in_proj = nn.Linear(embed_dims, num_projections * embed_dims, bias=qkv_bias)
        self.depthwise = (
            nn.Conv2d(embed_dims, embed_dims, 3, padding=1, groups=embed_dims)
            if depthwise
            else None
        )
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor, hw_shape: tuple[int, int] | None = None) -> Tensor:
        """Mix tokens.

        Args:
            x: Tokens, (B, N, C); extra tokens come first.
            hw_shape: Height and width, in tokens, of the map that the last
                H * W tokens form; ``None`` if they form no map.

        Returns:
            Mixed tokens, (B, N, C).

        Raises:
            ValueError: If ``depthwise`` is on and ``hw_shape`` is ``None``.
        """
        out, values = self.mix(x, hw_shape)  # (B, heads, N, D) both
        out = self._merge_heads(out)  # (B, N, C)
        if self.depthwise is not None:
            if hw_shape is None:
                raise ValueError('depthwise=True needs hw_shape, got None')
            num_extra = x.shape[1] - hw_shape[0] * hw_shape[1]
            maps = self._merge_heads(values)[:, num_extra:].transpose(1, 2)
            maps = self.depthwise(maps.unflatten(2, hw_shape))  # (B, C, H, W)
            local = maps.flatten(2).transpose(1, 2)
            out = out + F.pad(local, (0, 0, num_extra, 0))
        return self.proj_drop(self.proj(out))

    @abstractmethod
    def mix(self, x: Tensor, hw_shape: tuple[int, int] | None) -> tuple[Tensor, Tensor]:
        """Mixed tokens and the values they were mixed from, (B, heads, N, D)."""

    def _split_heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, N, P * C) -> P tensors (B, heads, N, D), without a copy."""
        x = x.unflatten(2, (-1, self.num_heads, self.head_dims))
        # The axis of images stays the first, without which ncnn cannot take the model.
        return tuple(part.transpose(1, 2) for part in x.unbind(2))

    @staticmethod
    def _merge_heads(x: Tensor) -> Tensor:
        """(B, heads, N, D) -> (B, N, C)."""
        return x.transpose(1, 2).flatten(2)


@MODELS.register_module()
class SoftmaxAttention(Attention):
    """Softmax attention over all pairs of tokens: the "ViT" row of Table 4.

    Args:
        embed_dims, num_heads, **kwargs: As in :class:`Attention`.

    Example:
        >>> import torch
        >>> SoftmaxAttention(32, num_heads=2)(torch.rand(1, 9, 32)).shape
        torch.Size([1, 9, 32])
    """

    def __init__(self, embed_dims: int, num_heads: int, **kwargs) -> None:
        super().__init__(embed_dims, num_heads, num_projections=3, **kwargs)

    def mix(self, x: Tensor, hw_shape: tuple[int, int] | None) -> tuple[Tensor, Tensor]:
        queries, keys, values = self._split_heads(self.in_proj(x))
        return F.scaled_dot_product_attention(queries, keys, values), values


@MODELS.register_module()
class TokenAnchorAttention(Attention):
    r"""Anchors chosen among the tokens of each image: Fig. 3a, Eq. 3 to 5.

    The initial anchors are M of the queries, spread evenly over the token map
    (the paper does not say how it chooses them). Each refinement step is one
    step of soft k-means towards the fixed point of Eq. 5:

    .. math:: u_j = \sum_i p(u_j | v_i) k_i / \sum_i p(u_j | v_i)

    Args:
        embed_dims, num_heads, **kwargs: As in :class:`Attention`.
        num_anchors: M, at most the number of tokens in the map.
        num_refinements: Number of refinement steps, 0 or more.

    Example:
        >>> import torch
        >>> attention = TokenAnchorAttention(32, num_heads=2, num_anchors=4)
        >>> attention(torch.rand(1, 9, 32), (3, 3)).shape
        torch.Size([1, 9, 32])
    """

    backbone_args = ('num_anchors',)

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        *,
        num_anchors: int = 30,
        num_refinements: int = 1,
        **kwargs,
    ) -> None:
        super().__init__(embed_dims, num_heads, num_projections=3, **kwargs)
        check_num_anchors(num_anchors)
        if num_refinements < 0:
            raise ValueError(f'num_refinements must be 0 or more, got {num_refinements}')
        self.num_anchors = num_anchors
        self.num_refinements = num_refinements

    def mix(self, x: Tensor, hw_shape: tuple[int, int] | None) -> tuple[Tensor, Tensor]:
        queries, keys, values = self._split_heads(self.in_proj(x))
        height, width = hw_shape or (1, x.shape[1])
        num_extra = x.shape[1] - height * width
        chosen = num_extra + even_token_indices(height, width, self.num_anchors, x.device)
        anchors = queries[:, :, chosen]  # (B, heads, M, D)
        for _ in range(self.num_refinements):
            anchors = refine_anchors(keys, anchors)
        return anchor_attention(keys, values, anchors), values


def check_num_anchors(num_anchors: int) -> None:
    """Raise an error for fewer than one anchor."""
    if num_anchors < 1:
        raise ValueError(f'num_anchors must be at least 1, got {num_anchors}')


def attention_config(attention: str | dict, num_heads: int, num_anchors: int, deploy: bool) -> dict:
    """Complete the config of an attention with the values of a backbone.

    Args:
        attention: A name in :data:`ATTENTIONS`, or the config of an
            attention, whose own values take precedence.
        num_heads: Number of heads.
        num_anchors: M, for attentions with anchors.
        deploy: For attentions with a deploy form.

    Raises:
        ValueError: If the name or the type is unknown.

    Example:
        >>> attention_config('softmax', 3, num_anchors=30, deploy=False)
        {'num_heads': 3, 'type': 'mmanchor.SoftmaxAttention'}
    """
    if isinstance(attention, str):
        if attention not in ATTENTIONS:
            raise ValueError(
                f'attention must be one of {sorted(ATTENTIONS)} or a config dict, got {attention!r}'
            )
        attention = dict(type=ATTENTIONS[attention])
    cfg = dict(num_heads=num_heads, **attention)
    attention_type = MODELS.get(cfg['type'])
    if attention_type is None:
        raise ValueError(f'attention has the unknown type {cfg["type"]!r}')
    shared = dict(num_anchors=num_anchors, deploy=deploy)
    wanted = getattr(attention_type, 'backbone_args', ())
    return {**{name: shared[name] for name in wanted}, **cfg}
