"""ESNet, the backbone of PicoDet."""

from collections.abc import Iterable, Sequence

import torch
from mmcv.cnn import ConvModule
from mmdet.models.utils import make_divisible
from mmengine.model import ModuleList
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.shuffle_block import EnhancedShuffleBlock, EnhancedShuffleDownBlock
from .base import BaseBackbone, InitCfg, normalize_out_indices

STEM_CHANNELS = 24
STAGE_CHANNELS = (128, 256, 512)  # At scale 1.
STAGE_BLOCKS = (3, 7, 3)
# As in PaddleDetection.
CONV_INIT = dict(type='Kaiming', layer='Conv2d', mode='fan_in')
RATIOS_S = (0.875, 0.5, 0.5, 0.5, 0.625, 0.5, 0.625, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)


@MODELS.register_module()
class ESNet(BaseBackbone):
    """Enhanced ShuffleNet (PicoDet, arXiv 2111.00902).

    A stem of stride 4 and three stages of strides 8, 16 and 32. ``mmanchor
    convert`` converts the weights that PaddleDetection published. Images may
    have any size; there is no ``img_size``, since nothing depends on it.

    Args:
        scale: Factor of the stages' channels 128, 256 and 512, which are then
            rounded to multiples of 16. PicoDet-S has 0.75, M 1, L 1.25.
        ratios: For each of the 13 blocks, its inner channels over its output
            channels, in (0, 1].
        out_indices: Stages whose outputs are returned, 0 to 2; negative ones
            count from the end. Stages after the last are not built.
        frozen_stages: -1 freezes nothing, 0 the stem, i > 0 also the first i
            stages.
        norm_eval: Whether batch normalizations keep their statistics in
            training.
        norm_cfg: Config of the normalization; ``None`` takes BN.
        act_cfg: Config of the activation; ``None`` takes HSwish.
        init_cfg: MMEngine's initialization config; ``None`` takes Kaiming
            initialization by fan-in for convolutions.

    Attributes:
        out_channels: Channels of the returned maps.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> maps = ESNet()(torch.rand(1, 3, 64, 96))
        >>> [tuple(x.shape) for x in maps]
        [(1, 96, 8, 12), (1, 192, 4, 6), (1, 384, 2, 3)]
    """

    def __init__(
        self,
        scale: float = 0.75,
        ratios: Sequence[float] = RATIOS_S,
        *,
        out_indices: int | Sequence[int] = (0, 1, 2),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init_cfg: InitCfg = None,
    ) -> None:
        super().__init__(frozen_stages, norm_eval, init_cfg or CONV_INIT)
        _check_sizes(scale, ratios)
        self.norm_cfg = norm_cfg or dict(type='BN')
        self.act_cfg = act_cfg or dict(type='HSwish')
        self.out_indices = normalize_out_indices(out_indices, len(STAGE_BLOCKS))
        self.stem = ConvModule(
            3, STEM_CHANNELS, 3, stride=2, padding=1, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg
        )
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = ModuleList()
        widths = [make_divisible(scale * w, 16) for w in STAGE_CHANNELS]
        before, ratios = STEM_CHANNELS, list(ratios)
        for index in range(self.out_indices[-1] + 1):
            num = STAGE_BLOCKS[index]
            self.stages.append(self._make_stage(index, before, widths[index], ratios[:num]))
            before, ratios = widths[index], ratios[num:]
        self.out_channels = tuple(widths[i] for i in self.out_indices)
        self._init_freezing()

    def _make_stage(
        self, index: int, in_channels: int, channels: int, ratios: Sequence[float]
    ) -> nn.Module:
        """Build a stage.

        Args:
            index: Index of the stage, from 0.
            in_channels: Channels of its input.
            channels: Channels of its output.
            ratios: Ratios of its blocks.
        """
        cfg = dict(norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        mids = [make_divisible(int(channels * ratio), 8) for ratio in ratios]
        return nn.Sequential(
            EnhancedShuffleDownBlock(in_channels, channels, mids[0], **cfg),
            *(EnhancedShuffleBlock(channels, mid, **cfg) for mid in mids[1:]),
        )

    def _stages(self) -> list[Iterable[nn.Module | nn.Parameter]]:
        return [[self.stem], *([stage] for stage in self.stages)]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract feature maps.

        Args:
            x: Images, (B, 3, H, W), of any size.

        Returns:
            One map (B, channels, H / stride, W / stride) for each of
            ``out_indices``, sides rounded up.
        """
        x = _pool_fast(self.pool, self.stem(x))
        outs = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)


def _pool_fast(pool: nn.Module, x: Tensor) -> Tensor:
    """``pool(x)``, in the memory format of ``x``.

    Channels last, torch pools several times as fast on a CPU. For one image,
    this saves a tenth of the time of PicoDet-AnchorFormer-S in eager mode.
    """
    if x.device.type != 'cpu' or not x.is_contiguous():
        return pool(x)
    x = x.contiguous(memory_format=torch.channels_last)
    return pool(x).contiguous()


def _check_sizes(scale: float, ratios: Sequence[float]) -> None:
    if scale <= 0:
        raise ValueError(f'scale must be above 0, got {scale}')
    if len(ratios) != sum(STAGE_BLOCKS):
        raise ValueError(
            f'ratios must hold {sum(STAGE_BLOCKS)} numbers, one per block, got {len(ratios)}'
        )
    if not all(0 < ratio <= 1 for ratio in ratios):
        raise ValueError(f'ratios must be in (0, 1], got {tuple(ratios)}')
