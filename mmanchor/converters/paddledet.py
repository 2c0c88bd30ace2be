"""PicoDet and ESNet of PaddleDetection (the models of 2021)."""

from collections.abc import Mapping
from re import Match
from typing import Any

import torch
from torch import Tensor

from .paddle_files import NAMES
from .renaming import Renaming, convert_state_dict
from .report import ConversionReport


def _block(match: Match) -> str:
    """``2_1.`` is the first block of the first stage."""
    stage, block = int(match[1]) - 2, int(match[2]) - 1
    return f'stages.{stage}.{block}.'


def _tower(match: Match) -> str:
    """``dw0.1.norm`` is at level 0, in convolution 1."""
    conv, level, index, part = match.groups()
    conv = dict(dw='depthwise', pw='pointwise')[conv]
    part = part.replace('norm', 'bn')
    return f'bbox_head.towers.{level}.{index}.{conv}_conv.{part}.'


# In a file of the backbone alone there is no prefix `backbone.`.
ESNET_RULES = (
    (r'\b_conv1\._', 'stem._'),
    (r'\b([2-4])_(\d+)\.', _block),
    (r'\._se\.conv([12])\.', r'.se.fc\1.'),
    (r'\._conv_dw_mv1\.', '.conv_dw_3.'),
    (r'\._conv_pw_mv1\.', '.conv_pw_3.'),
    (r'\._conv_(\w+)\.', r'.conv_\1.'),
    (r'\._conv\.', '.conv.'),
    (r'\._batch_norm\.', '.bn.'),
)
NECK_RULES = (
    (r'^neck\.conv_t\.convs\.', 'neck.reduce_convs.'),
    (r'^neck\.(top_down|bottom_up)_blocks\.', r'neck.\1_layers.'),
    (r'^neck\.first_top_conv\.', 'neck.extra_from_input.'),
    (r'^neck\.second_top_conv\.', 'neck.extra_from_output.'),
    (r'\.blocks\.0\.conv1\.', '.block.0.'),
    (r'\.blocks\.0\.conv2\.', '.block.1.'),
    (r'\.dwconv\.', '.depthwise_conv.conv.'),
    (r'\.bn1\.', '.depthwise_conv.bn.'),
    (r'\.pwconv\.', '.pointwise_conv.conv.'),
    (r'\.bn2\.', '.pointwise_conv.bn.'),
)
HEAD_RULES = (
    (r'^head\.conv_feat\.cls_conv_(dw|pw)(\d+)\.(\d+)\.(conv|norm)\.', _tower),
    (r'^head\.head_cls(\d+)\.', r'bbox_head.preds.\1.'),
)
NORM_RULES = ((r'\._mean$', '.running_mean'), (r'\._variance$', '.running_var'))
NAME_TABLE = (f'^{NAMES}$', "Paddle's table of internal names")
COUNTER = (r'\.num_batches_tracked$', torch.zeros)


def _bins(shape: torch.Size) -> Tensor:
    return torch.arange(shape[0])


PICODET = Renaming(
    rules=ESNET_RULES + NECK_RULES + HEAD_RULES + NORM_RULES,
    unused=(
        NAME_TABLE,
        (r'^head\.p\d_feat\.scale_reg$', 'a scale that PicoDet does not apply'),
        (r'^head\.distribution_project\.project$', 'the constants 0 to reg_max'),
    ),
    # PicoDet does not apply its scales, which is a scale of 1.
    made=(
        COUNTER,
        (r'^bbox_head\.scales\.\d+\.scale$', torch.ones),
        (r'^bbox_head\.integral\.project$', _bins),
    ),
)
ESNET = Renaming(
    rules=((r'^backbone\.', ''), *ESNET_RULES, *NORM_RULES),
    unused=(
        NAME_TABLE,
        (r'^(neck|head)\.', 'not of the backbone'),
        (r'^_?(last_conv|conv2|fc)\.', 'of a classifier'),
    ),
    made=(COUNTER,),
)


def convert_picodet(
    source: Mapping[str, Any], target: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Weights of a PicoDet.

    Args:
        source: Result of :func:`~.paddle_files.arrays_of_paddle`.
        target: The state dict of our detector.

    Returns:
        As :func:`~.renaming.convert_state_dict`.
    """
    return convert_state_dict(source, target, PICODET)


def convert_esnet(
    source: Mapping[str, Any], target: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Weights of an ESNet, from the file of a detector or of the backbone.

    Args:
        source: Result of :func:`~.paddle_files.arrays_of_paddle`.
        target: The state dict of our ESNet.

    Returns:
        As :func:`~.renaming.convert_state_dict`.
    """
    return convert_state_dict(source, target, ESNET)
