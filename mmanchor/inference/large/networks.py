"""Necks and heads of segmentors as :mod:`.row_maps`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from mmseg.models.decode_heads import FPNHead, UPerHead
from mmseg.models.necks import FPN
from mmseg.models.utils import Upsample
from torch import nn

from ...models.backbones import AnchorFormer
from ...models.layers import LearnedAnchorAttention
from ...models.necks import SimpleFeaturePyramid
from .row_maps import Enlarged, Local, Reduced, Resized, RowMap, Stored, added, pooled, stacked

# Numbers of one band of the widest map: 32 MB in float32.
BAND_NUMBERS = 1 << 23


def objection(model: Any) -> str | None:
    """Why a segmentor cannot run in bands, as a sentence; ``None`` if it can.

    Args:
        model: A segmentor of mmseg, in evaluation mode.
    """
    backbone = getattr(model, 'backbone', None)
    if type(backbone) is not AnchorFormer:
        return f'its backbone must be AnchorFormer, got {type(backbone).__name__}'
    for layer in backbone.layers:
        if type(layer.attn) is not LearnedAnchorAttention:
            return f'its attention must be LearnedAnchorAttention, got {type(layer.attn).__name__}'
    if backbone.out_type != 'featmap':
        return f"the backbone's out_type must be 'featmap', got {backbone.out_type!r}"
    head = model.decode_head
    if type(head) not in _HEADS:
        return f'its decode_head must be FPNHead or UPerHead, got {type(head).__name__}'
    if getattr(model.data_preprocessor, 'test_cfg', None):
        return 'its data_preprocessor pads images (test_cfg)'
    return next(filter(None, map(_part_objection, (*_necks(model), head))), None)


def _part_objection(part: nn.Module) -> str | None:
    """What a neck or head has that needs more than the rows nearby."""
    if isinstance(part, FPN):
        if part.num_outs != len(part.lateral_convs):
            return f'its FPN must have as many outputs as inputs, got num_outs={part.num_outs}'
        if 'scale_factor' in part.upsample_cfg or part.upsample_cfg.get('mode') != 'nearest':
            return f"its FPN must upsample with mode='nearest', got {part.upsample_cfg}"
    elif type(part) not in (SimpleFeaturePyramid, *_HEADS):
        return f'its neck must be SimpleFeaturePyramid or FPN, got {type(part).__name__}'
    for name, module in part.named_modules():
        kind = type(module).__name__
        if 'Norm' in kind and not isinstance(module, _BatchNorm):
            return f'{name} must be a batch normalization, got {kind}'
        if isinstance(module, nn.Conv2d):
            pairs = zip(module.kernel_size, module.dilation, strict=True)
            same = tuple((side - 1) // 2 * step for side, step in pairs)
            if module.stride != (1, 1) or module.padding != same or module.padding_mode != 'zeros':
                return f'{name} must be a convolution that keeps the size, got {module}'
    return None


def _necks(model: Any) -> list[nn.Module]:
    neck = getattr(model, 'neck', None)
    if neck is None:
        return []
    return list(neck) if isinstance(neck, nn.Sequential) else [neck]


def logits_map(model: Any, maps: Sequence[Stored]) -> tuple[RowMap, int]:
    """The logits of a segmentor, at the stride of its finest map.

    Args:
        model: A segmentor that :func:`objection` has none against.
        maps: The outputs of its backbone.

    Returns:
        The map, and how many rows of it one should ask for at a time.
    """

    def levels() -> list[RowMap]:
        found: list[RowMap] = list(maps)
        for neck in _necks(model):
            found = _fpn(neck, found) if isinstance(neck, FPN) else _pyramid(neck, found)
        return [found[i] for i in model.decode_head.in_index]

    head = model.decode_head
    logits = _HEADS[type(head)](head, levels)
    widest = head.channels * (len(head.in_channels) if isinstance(head, UPerHead) else 1)
    return logits, max(8, BAND_NUMBERS // (widest * logits.size[1]))


def _pyramid(neck: SimpleFeaturePyramid, maps: list[RowMap]) -> list[RowMap]:
    """:class:`SimpleFeaturePyramid`."""
    maps = maps * len(neck.levels) if len(maps) == 1 else maps
    made = []
    for level, scale, source in zip(neck.levels, neck.scales, maps, strict=True):
        if scale > 1:
            made.append(Enlarged(source, level, int(scale)))
        elif scale < 1:
            made.append(Reduced(source, level, int(1 / scale)))
        else:
            made.append(Local(source, level))
    return made


def _fpn(neck: FPN, maps: list[RowMap]) -> list[RowMap]:
    """mmseg's FPN, whose top-down path takes the nearest pixel."""
    maps = maps[neck.start_level :]
    laterals = [_conv(conv, x) for conv, x in zip(neck.lateral_convs, maps, strict=False)]
    _top_down(laterals, lambda x, size: Resized(x, size, 'nearest'))
    return [_conv(conv, x) for conv, x in zip(neck.fpn_convs, laterals, strict=True)]


def _fpn_head(head: FPNHead, levels: Callable[[], list[RowMap]]) -> RowMap:
    """mmseg's FPNHead: every level convolved and enlarged to the finest, and added up."""
    outs: list[RowMap] = []
    for x, steps in zip(levels(), head.scale_heads, strict=True):
        for step in steps:
            if isinstance(step, Upsample):
                size = tuple(int(side * step.scale_factor) for side in x.size)
                x = Resized(x, size, step.mode, step.align_corners)
            else:
                x = _conv(step, x)
        outs.append(Resized(x, outs[0].size, align_corners=head.align_corners) if outs else x)
    return Local(added(*outs), head.cls_seg)


def _uper_head(head: UPerHead, levels: Callable[[], list[RowMap]]) -> RowMap:
    """mmseg's UPerHead; a first pass over its coarsest map pools it."""
    enlarge = partial(Resized, align_corners=head.align_corners)
    maps = levels()
    pools = pooled(levels()[-1], head.psp_modules.pool_scales, _pool_band(maps[-1]))
    # Each module is a pooling, which is done, and a convolution.
    pools = [step[1](x) for step, x in zip(head.psp_modules, pools, strict=True)]
    top = maps[-1]
    context = [enlarge(Stored.of(x), top.size) for x in pools]
    laterals = [_conv(conv, x) for conv, x in zip(head.lateral_convs, maps, strict=False)]
    laterals.append(_conv(head.bottleneck, stacked(top, *context)))
    _top_down(laterals, enlarge)
    outs = [_conv(conv, x) for conv, x in zip(head.fpn_convs, laterals, strict=False)]
    outs = [*outs, laterals[-1]]
    outs = [outs[0], *(enlarge(x, outs[0].size) for x in outs[1:])]
    return Local(_conv(head.fpn_bottleneck, stacked(*outs)), head.cls_seg)


_HEADS: dict[type[BaseModule], Callable[..., RowMap]] = {FPNHead: _fpn_head, UPerHead: _uper_head}


def _pool_band(x: RowMap) -> int:
    return max(1, BAND_NUMBERS // (1024 * x.size[1]))


def _top_down(laterals: list[RowMap], enlarge: Callable[..., RowMap]) -> None:
    """Add each map, enlarged, to the next finer one, in place."""
    for i in range(len(laterals) - 1, 0, -1):
        laterals[i - 1] = added(laterals[i - 1], enlarge(laterals[i], laterals[i - 1].size))


def _conv(module: ConvModule, source: RowMap) -> RowMap:
    return Local(source, module, module.conv.padding[0])
