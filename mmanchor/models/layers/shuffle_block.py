"""The blocks of ESNet: those of ShuffleNetV2 with squeeze and excitation."""

from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation


def _squeeze_excitation(channels: int) -> SqueezeExcitation:
    """Squeeze and excitation with ratio 4 and hard sigmoid."""
    return SqueezeExcitation(channels, channels // 4, scale_activation=nn.Hardsigmoid)


class EnhancedShuffleBlock(nn.Module):
    """ESNet's block of stride 1 (PicoDet, arXiv 2111.00902, Fig. 3b).

    One half of the channels is not changed; the other goes through a
    point-wise and a depth-wise convolution, whose outputs are concatenated
    and weighted by squeeze and excitation. A channel shuffle mixes the halves.

    Args:
        channels: Channels of input and output, even.
        mid_channels: Channels of the concatenated maps, even.
        norm_cfg: Config of the normalization; ``None`` takes BN.
        act_cfg: Config of the activation; ``None`` takes HSwish.

    Example:
        >>> block = EnhancedShuffleBlock(16, mid_channels=8)
        >>> block(torch.rand(2, 16, 5, 7)).shape
        torch.Size([2, 16, 5, 7])
    """

    def __init__(
        self,
        channels: int,
        mid_channels: int,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        norm_cfg = norm_cfg or dict(type='BN')
        act_cfg = act_cfg or dict(type='HSwish')
        half, mid = channels // 2, mid_channels // 2
        cfg = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.conv_pw = ConvModule(half, mid, 1, **cfg)
        self.conv_dw = ConvModule(
            mid, mid, 3, padding=1, groups=mid, norm_cfg=norm_cfg, act_cfg=None
        )
        self.se = _squeeze_excitation(mid_channels)
        self.conv_linear = ConvModule(mid_channels, half, 1, **cfg)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        bypass, x = x.chunk(2, dim=1)
        x = self.conv_pw(x)
        x = self.se(torch.cat((x, self.conv_dw(x)), dim=1))
        x = torch.cat((bypass, self.conv_linear(x)), dim=1)
        # nn.ChannelShuffle has no gradient in torch 2.4.
        return x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


class EnhancedShuffleDownBlock(nn.Module):
    """ESNet's block of stride 2 (PicoDet, arXiv 2111.00902, Fig. 3a).

    Two branches halve the map by depth-wise convolutions, the second with
    squeeze and excitation. A depth-wise-separable convolution of both replaces
    the channel shuffle of ShuffleNet.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, even.
        mid_channels: Twice the channels inside the second branch, even.
        norm_cfg: Config of the normalization; ``None`` takes BN.
        act_cfg: Config of the activation; ``None`` takes HSwish.

    Example:
        >>> block = EnhancedShuffleDownBlock(8, 16, mid_channels=8)
        >>> block(torch.rand(2, 8, 5, 8)).shape
        torch.Size([2, 16, 3, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mid_channels: int,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        norm_cfg = norm_cfg or dict(type='BN')
        act_cfg = act_cfg or dict(type='HSwish')
        half, mid = out_channels // 2, mid_channels // 2

        def conv(before: int, after: int, **kwargs: Any) -> ConvModule:
            kwargs = dict(kernel_size=1, act_cfg=act_cfg) | kwargs
            return ConvModule(before, after, norm_cfg=norm_cfg, **kwargs)

        def depthwise(channels: int, **kwargs: Any) -> ConvModule:
            return conv(channels, channels, kernel_size=3, padding=1, groups=channels, **kwargs)

        self.conv_dw_1 = depthwise(in_channels, stride=2, act_cfg=None)
        self.conv_linear_1 = conv(in_channels, half)
        self.conv_pw_2 = conv(in_channels, mid)
        self.conv_dw_2 = depthwise(mid, stride=2, act_cfg=None)
        self.se = _squeeze_excitation(mid)
        self.conv_linear_2 = conv(mid, half)
        self.conv_dw_3 = depthwise(out_channels)
        self.conv_pw_3 = conv(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out_channels, ceil(H / 2), ceil(W / 2))."""
        first = self.conv_linear_1(self.conv_dw_1(x))
        second = self.conv_dw_2(self.conv_pw_2(x))
        second = self.conv_linear_2(self.se(second))
        out = torch.cat((first, second), dim=1)
        return self.conv_pw_3(self.conv_dw_3(out))
