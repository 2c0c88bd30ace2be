"""A pyramid from maps of one stride, as plain transformers need it."""
from typing import Optional, Sequence, Tuple

from mmcv.cnn import build_norm_layer, build_upsample_layer
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ...registry import MODELS


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Turn stride-16 maps into strides 4, 8, 16 and 32.

    The simple feature pyramid of ViTDet (arXiv 2203.16527): transposed
    convolutions upwards, max-pooling downwards. It differs from mmseg's
    ``Feature2Pyramid`` in that maps get narrower as they get larger, which is
    what keeps high resolutions cheap.

    Args:
        in_channels: Channels of the input maps.
        out_channels: Channels of the four outputs, finest first.
        norm_cfg: Config of the normalisation between the two convolutions
            that lead to stride 4.
        init_cfg: MMEngine's initialisation config.

    Example:
        >>> neck = SimpleFeaturePyramid(32, (8, 16, 32, 32))
        >>> [tuple(x.shape) for x in neck((torch.rand(1, 32, 4, 6), ))]
        [(1, 8, 16, 24), (1, 16, 8, 12), (1, 32, 4, 6), (1, 32, 2, 3)]
    """

    num_levels = 4

    def __init__(self,
                 in_channels: int,
                 out_channels: Sequence[int],
                 norm_cfg: Optional[dict] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        if len(out_channels) != self.num_levels:
            raise ValueError('out_channels must have one entry for each of '
                             f'strides 4, 8, 16 and 32, got {out_channels}')
        finest, fine, same, coarse = out_channels
        self.levels = ModuleList([
            nn.Sequential(
                _double(in_channels, fine),
                build_norm_layer(norm_cfg or dict(type='BN'), fine)[1],
                nn.GELU(), _double(fine, finest)),
            _double(in_channels, fine),
            _match_channels(in_channels, same),
            nn.Sequential(
                # A map of one row or column must not shrink to nothing.
                nn.MaxPool2d(2, ceil_mode=True),
                _match_channels(in_channels, coarse)),
        ])

    def forward(self, inputs: Sequence[Tensor]) -> Tuple[Tensor, ...]:
        """Build the pyramid.

        Args:
            inputs: Four maps (B, in_channels, H, W) of stride 16, one for
                each output from fine to coarse; or one map for all.

        Returns:
            Maps of 4, 2, 1 and 1/2 times the size; the last is rounded up.
        """
        if len(inputs) not in (1, self.num_levels):
            raise ValueError('inputs must be 1 or 4 maps; set the out_indices '
                             f'of the backbone so, got {len(inputs)}')
        if len(inputs) == 1:
            inputs = tuple(inputs) * self.num_levels
        return tuple(level(x) for level, x in zip(self.levels, inputs))


def _double(in_channels: int, out_channels: int) -> nn.Module:
    return build_upsample_layer(
        dict(type='deconv'), in_channels, out_channels, 2, stride=2)


def _match_channels(in_channels: int, out_channels: int) -> nn.Module:
    if in_channels == out_channels:
        return nn.Identity()
    return nn.Conv2d(in_channels, out_channels, 1)
