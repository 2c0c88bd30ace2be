"""Learned anchors with the signatures of softmax attention in other libraries.

Each replaces one attention class inside a model of that library. None of the
libraries is imported.
"""

from torch import Tensor, nn

from .learned_attention import LearnedAnchorAttention


class TimmAnchorAttention(LearnedAnchorAttention):
    """Anchor attention for the blocks of timm's ``VisionTransformer``.

    Args:
        embed_dims, num_heads, **kwargs: As in
            :class:`~mmanchor.models.layers.LearnedAnchorAttention`.
    """

    def forward(  # type: ignore[override]  # timm's signature
        self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Mix tokens.

        Args:
            x: Tokens, (B, N, C).
            attn_mask: Must be ``None``: there are no pairs of tokens to mask.
            is_causal: Must be ``False``, for the same reason.

        Returns:
            Mixed tokens, (B, N, C).

        Raises:
            ValueError: If there is a mask.
        """
        _refuse_masks(attn_mask=attn_mask, is_causal=is_causal)
        return super().forward(x)


class MMPretrainAnchorAttention(LearnedAnchorAttention):
    """Anchor attention for the layers of mmpretrain's ``VisionTransformer``.

    Args:
        embed_dims, num_heads, **kwargs: As in
            :class:`~mmanchor.models.layers.LearnedAnchorAttention`.
        gamma1: The layer scale of the attention that it replaces.
        out_drop: The dropout of that attention, after the layer scale.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, *, gamma1: nn.Module, out_drop: nn.Module, **kwargs
    ) -> None:
        super().__init__(embed_dims, num_heads, **kwargs)
        self.gamma1 = gamma1
        self.out_drop = out_drop

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # mmpretrain's signature
        """Mix tokens, (B, N, C) -> (B, N, C)."""
        return self.out_drop(self.gamma1(super().forward(x)))


class TorchvisionAnchorAttention(LearnedAnchorAttention):
    """Anchor attention for the blocks of torchvision's ``VisionTransformer``.

    Args:
        embed_dims, num_heads, **kwargs: As in
            :class:`~mmanchor.models.layers.LearnedAnchorAttention`.
    """

    def forward(  # type: ignore[override]  # the signature of nn.MultiheadAttention
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
        """Mix tokens, with the arguments of ``torch.nn.MultiheadAttention``.

        Args:
            query: Tokens, (B, N, C).
            key: The same tensor.
            value: The same tensor.
            key_padding_mask: Must be ``None``.
            need_weights: Ignored: there is no N x N matrix to return.
            attn_mask: Must be ``None``: there are no pairs of tokens to mask.
            average_attn_weights: Ignored.
            is_causal: Must be ``False``.

        Returns:
            Mixed tokens, (B, N, C), and ``None`` for the weights.

        Raises:
            ValueError: If there is a mask, or query, key and value are not
                the same tensor.
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
