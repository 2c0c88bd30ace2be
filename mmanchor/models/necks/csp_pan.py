"""CSP-PAN, the neck of PicoDet."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...registry import MODELS


class LightCSPLayer(BaseModule):
    """A cross-stage-partial layer with one depth-wise-separable block.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, twice those inside.
        kernel_size: Side of the depth-wise kernel, odd.
        norm_cfg: Config of the normalization.
        act_cfg: Config of the activation.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, norm_cfg: dict, act_cfg: dict
    ) -> None:
        super().__init__()
        cfg = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        hidden = out_channels // 2
        self.main_conv = ConvModule(in_channels, hidden, 1, **cfg)
        self.short_conv = ConvModule(in_channels, hidden, 1, **cfg)
        self.block = nn.Sequential(
            ConvModule(hidden, hidden, 1, **cfg),
            DepthwiseSeparableConvModule(
                hidden, hidden, kernel_size, padding=kernel_size // 2, **cfg
            ),
        )
        self.final_conv = ConvModule(2 * hidden, out_channels, 1, **cfg)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        main = self.block(self.main_conv(x))
        return self.final_conv(torch.cat((main, self.short_conv(x)), dim=1))


@MODELS.register_module()
class CSPPAN(BaseModule):
    """A path aggregation network of light CSP layers (arXiv 2111.00902).

    All output maps have the same number of channels. There is one level more
    than in the input, of half the resolution, computed from the coarsest
    input and the coarsest output.

    Args:
        in_channels: Channels of the input maps, finest first.
        out_channels: Channels of the outputs, even.
        kernel_size: Side of the depth-wise kernels, odd.
        norm_cfg: Config of the normalization; ``None`` takes BN.
        act_cfg: Config of the activation; ``None`` takes HSwish.
        init_cfg: MMEngine's initialization config; ``None`` takes Kaiming
            initialization by fan-in for convolutions.

    Raises:
        ValueError: If ``out_channels`` or ``kernel_size`` does not fit.

    Example:
        >>> neck = CSPPAN((8, 16, 32), out_channels=16)
        >>> maps = [torch.rand(1, 8 * 2**i, 16 // 2**i, 24 // 2**i) for i in range(3)]
        >>> [tuple(x.shape[1:]) for x in neck(maps)]
        [(16, 16, 24), (16, 8, 12), (16, 4, 6), (16, 2, 3)]
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        *,
        kernel_size: int = 5,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d', mode='fan_in'))
        if out_channels < 2 or out_channels % 2:
            raise ValueError(f'out_channels must be even and above 0, got {out_channels}')
        if kernel_size < 1 or not kernel_size % 2:
            raise ValueError(f'kernel_size must be odd, got {kernel_size}')
        cfg = dict(norm_cfg=norm_cfg or dict(type='BN'), act_cfg=act_cfg or dict(type='HSwish'))
        merges = range(len(in_channels) - 1)

        def merge() -> LightCSPLayer:
            return LightCSPLayer(2 * out_channels, out_channels, kernel_size, **cfg)

        def downsample() -> DepthwiseSeparableConvModule:
            return DepthwiseSeparableConvModule(
                out_channels, out_channels, kernel_size, stride=2, padding=kernel_size // 2, **cfg
            )

        self.in_channels = tuple(in_channels)
        self.reduce_convs = nn.ModuleList(
            ConvModule(width, out_channels, 1, **cfg) for width in in_channels
        )
        # Both in the order of execution.
        self.top_down_layers = nn.ModuleList(merge() for _ in merges)
        self.downsamples = nn.ModuleList(downsample() for _ in merges)
        self.bottom_up_layers = nn.ModuleList(merge() for _ in merges)
        self.extra_from_input = downsample()
        self.extra_from_output = downsample()

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Mix the maps of all levels.

        Args:
            inputs: Maps (B, C, H, W), finest first, each half the size of the
                one before, rounded up, as after convolutions of stride 2.

        Returns:
            Maps (B, out_channels, H, W) of the same sizes, and one more of
            half the size of the last.

        Raises:
            ValueError: If there are more or fewer maps than ``in_channels``.
        """
        if len(inputs) != len(self.in_channels):
            raise ValueError(
                f'CSPPAN takes a map for each of in_channels={self.in_channels}, got {len(inputs)}'
            )
        laterals = [conv(x) for conv, x in zip(self.reduce_convs, inputs, strict=True)]
        merged = [laterals[-1]]
        for layer, lateral in zip(self.top_down_layers, laterals[-2::-1], strict=True):
            # By size, so that sides that were rounded up fit, too.
            above = F.interpolate(merged[0], size=lateral.shape[2:], mode='nearest')
            merged.insert(0, layer(torch.cat((above, lateral), dim=1)))

        outs = [merged[0]]
        for layer, downsample, lateral in zip(
            self.bottom_up_layers, self.downsamples, merged[1:], strict=True
        ):
            below = downsample(outs[-1])
            outs.append(layer(torch.cat((below, lateral), dim=1)))
        extra = self.extra_from_input(laterals[-1])
        outs.append(extra + self.extra_from_output(outs[-1]))
        return tuple(outs)
