"""A feature pyramid from maps of one stride, for plain vision transformers."""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer, build_upsample_layer
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ...registry import MODELS


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Turn maps of stride 16 into a pyramid of strides 4, 8, 16 and 32.

    The simple feature pyramid of ViTDet (arXiv 2203.16527): transposed
    convolutions for upsampling, max-pooling for downsampling. Unlike in
    mmseg's ``Feature2Pyramid``, larger maps may have fewer channels, which
    keeps high resolutions cheap.

    Args:
        in_channels: Channels of the input maps.
        out_channels: Channels of the outputs, finest first.
        scales: Size of each output over that of the input: 4, 2, 1, 0.5 or
            0.25.
        norm_cfg: Config of the normalization between the two transposed
            convolutions of scale 4; ``None`` takes BN.
        init_cfg: MMEngine's initialization config.

    Raises:
        ValueError: If ``out_channels`` and ``scales`` differ in length, or a
            scale is not one of these.

    Example:
        >>> import torch
        >>> neck = SimpleFeaturePyramid(32, (8, 16, 32, 32))
        >>> [tuple(x.shape) for x in neck((torch.rand(1, 32, 4, 6),))]
        [(1, 8, 16, 24), (1, 16, 8, 12), (1, 32, 4, 6), (1, 32, 2, 3)]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: Sequence[int],
        scales: Sequence[float] = (4, 2, 1, 0.5),
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(out_channels) != len(scales):
            raise ValueError(
                f'out_channels must have one number for each of scales={scales}, got {out_channels}'
            )
        norm_cfg = norm_cfg or dict(type='BN')
        self.scales = tuple(scales)
        self.levels = ModuleList(
            _level(in_channels, width, scale, norm_cfg)
            for width, scale in zip(out_channels, scales, strict=True)
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Build the pyramid.

        Args:
            inputs: Maps (B, in_channels, H, W) of one stride, one for each
                output, or one map for all.

        Returns:
            One map for each scale; odd sides are rounded up.

        Raises:
            ValueError: If there is another number of maps.
        """
        num = len(self.levels)
        if len(inputs) not in (1, num):
            raise ValueError(
                f'inputs must be 1 or {num} maps, got {len(inputs)}; '
                'change out_indices of the backbone'
            )
        if len(inputs) == 1:
            inputs = tuple(inputs) * num
        return tuple(level(x) for level, x in zip(self.levels, inputs, strict=True))


def _level(in_channels: int, out_channels: int, scale: float, norm_cfg: dict) -> nn.Module:
    if scale == 4:
        middle = 2 * out_channels
        return nn.Sequential(
            _double(in_channels, middle),
            build_norm_layer(norm_cfg, middle)[1],
            nn.GELU(),
            _double(middle, out_channels),
        )
    if scale == 2:
        return _double(in_channels, out_channels)
    if scale == 1:
        return _match_channels(in_channels, out_channels)
    if scale in (0.5, 0.25):
        # A map of one row or column must not become empty.
        return nn.Sequential(
            nn.MaxPool2d(int(1 / scale), ceil_mode=True), _match_channels(in_channels, out_channels)
        )
    raise ValueError(f'scales must be among 4, 2, 1, 0.5 and 0.25, got {scale}')


def _double(in_channels: int, out_channels: int) -> nn.Module:
    return build_upsample_layer(dict(type='deconv'), in_channels, out_channels, 2, stride=2)


def _match_channels(in_channels: int, out_channels: int) -> nn.Module:
    if in_channels == out_channels:
        return nn.Identity()
    return nn.Conv2d(in_channels, out_channels, 1)
