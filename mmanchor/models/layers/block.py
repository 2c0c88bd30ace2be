"""The pre-norm transformer block around every attention."""

import inspect

from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule
from torch import Tensor

from ...registry import MODELS
from .attention import LINEAR_INIT


class _MLP(FFN):
    """mmcv's FFN without the wrapper of its ``forward``.

    The wrapper handles a deprecated argument name in every call, which torch
    2.4 to 2.6 cannot compile.
    """

    forward = inspect.unwrap(FFN.forward)


class TransformerBlock(BaseModule):
    """x + attention(norm(x)), then x + MLP(norm(x)): the block of DeiT.

    Args:
        embed_dims: C, the width of a token.
        attention: Config of an attention; ``embed_dims`` is filled in.
        mlp_ratio: Width of the MLP's hidden layer over ``embed_dims``.
        drop_rate: Dropout rate in the MLP, in [0, 1].
        drop_path_rate: Probability that a residual branch is dropped for an
            image, in [0, 1).
        norm_cfg: Config of the normalizations; ``None`` takes LN with
            epsilon 1e-6.
        init_cfg: MMEngine's initialization config; ``None`` initializes
            linear layers as DeiT does.
    """

    def __init__(
        self,
        embed_dims: int,
        attention: dict,
        *,
        mlp_ratio: float = 4.0,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg or LINEAR_INIT)
        norm_cfg = norm_cfg or dict(type='LN', eps=1e-6)
        self.norm1 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.attn = MODELS.build(dict(attention, embed_dims=embed_dims))
        self.drop_path = DropPath(drop_path_rate)
        self.norm2 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.mlp = _MLP(
            embed_dims,
            int(embed_dims * mlp_ratio),
            ffn_drop=drop_rate,
            dropout_layer=dict(type='DropPath', drop_prob=drop_path_rate),
            act_cfg=dict(type='GELU'),
        )

    def forward(self, x: Tensor, hw_shape: tuple[int, int] | None = None) -> Tensor:
        """(B, N, C) -> (B, N, C); ``hw_shape`` is passed to the attention."""
        x = x + self.drop_path(self.attn(self.norm1(x), hw_shape))
        return self.mlp(self.norm2(x), identity=x)
