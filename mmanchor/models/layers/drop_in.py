"""Learned anchors that are called as other libraries call softmax attention.

Each takes the place of one class of attention inside of a model that stays as
it is; none of those libraries is imported.
"""

from torch import Tensor, nn

from .learned_attention import LearnedAnchorAttention


class TimmAnchorAttention(LearnedAnchorAttention):
    """In the blocks of timm's ``VisionTransformer``.

    Args:
        embed_dims, num_heads, **kwargs: As
            :class:`~mmanchor.models.layers.LearnedAnchorAttention` has them.
    """

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Mix tokens.

        Args:
            x: Tokens, (B, N, C).
            attn_mask: ``None``: anchors have no pairs of tokens to mask.
            is_causal: ``False``, for the same reason.

        Returns:
            Mixed tokens, (B, N, C).

        Raises:
            ValueError: If there is a mask.
        """
        _refuse_masks(attn_mask=attn_mask, is_causal=is_causal)
        return super().forward(x)


class MMPretrainAnchorAttention(LearnedAnchorAttention):
    """In the layers of mmpretrain's ``VisionTransformer``.

    Args:
        embed_dims, num_heads, **kwargs: As
            :class:`~mmanchor.models.layers.LearnedAnchorAttention` has them.
        gamma1: The layer scale of the attention whose place it takes.
        out_drop: Its dropout, after the scale.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, *, gamma1: nn.Module, out_drop: nn.Module, **kwargs
    ) -> None:
        super().__init__(embed_dims, num_heads, **kwargs)
        self.gamma1 = gamma1
        self.out_drop = out_drop

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens, (B, N, C) -> (B, N, C)."""
        return self.out_drop(self.gamma1(super().forward(x)))


class TorchvisionAnchorAttention(LearnedAnchorAttention):
    """In the blocks of torchvision's ``VisionTransformer``.

    Args:
        embed_dims, num_heads, **kwargs: As
            :class:`~mmanchor.models.layers.LearnedAnchorAttention` has them.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        """Mix tokens, called as ``torch.nn.MultiheadAttention``.

        Args:
            query: Tokens, (B, N, C).
            key: The same.
            value: The same.
            key_padding_mask: ``None``: no token is left out.
            need_weights: Without effect: there is no N x N matrix to give.
            attn_mask: ``None``: anchors have no pairs of tokens to mask.
            average_attn_weights: Without effect.
            is_causal: ``False``, as there is no mask.

        Returns:
            Mixed tokens, (B, N, C), and ``None`` for the weights.

        Raises:
            ValueError: If there is a mask, or not all tokens are the same.
        """
        _refuse_masks(key_padding_mask=key_padding_mask, attn_mask=attn_mask, is_causal=is_causal)
        if key is not query or value is not query:
            raise ValueError(
                'query, key and value must be the same tensor: '
                'anchors mix the tokens of one sequence'
            )
        return super().forward(query), None


def _refuse_masks(**masks: object) -> None:
    for name, mask in masks.items():
        if mask is not None and mask is not False:
            raise ValueError(
                f'{name} must be None or False: anchor attention has no pairs of tokens to mask'
            )
