"""LeViT's block: attention, which may subsample, then an MLP."""

from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from ..conv_bn import LinearBN
from .attention import LevitAttention


class LevitBlock(nn.Module):
    """x + attention(x), then x + MLP(x).

    The block of LeViT (arXiv 2104.01136): linear layers are followed by batch
    normalization, instead of layer normalization before them. The output of a
    subsampling attention replaces x, without a residual connection.

    Args:
        attn: The attention.
        embed_dims: Width of the attention's output tokens.
        mlp_ratio: Width of the MLP's hidden layer over ``embed_dims``.
        drop_path_rate: Probability that a residual branch is dropped for an
            image, in [0, 1).
    """

    def __init__(
        self,
        attn: LevitAttention,
        embed_dims: int,
        *,
        mlp_ratio: int = 2,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.attn = attn
        hidden = mlp_ratio * embed_dims
        self.mlp = nn.Sequential(
            LinearBN(embed_dims, hidden), nn.Hardswish(), LinearBN(hidden, embed_dims, gain=0.0)
        )
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor, hw_shape: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        """Tokens (B, H * W, C) and (H, W) -> those of the output."""
        mixed, hw_out = self.attn(x, hw_shape)
        x = x + self.drop_path(mixed) if self.attn.stride == 1 else mixed
        return x + self.drop_path(self.mlp(x)), hw_out
