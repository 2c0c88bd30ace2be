"""LeViT, as timm, its authors and mmpretrain save it.

The softmax twin gets every number as it is. Where the model has anchors,
queries of all tokens and biases of positions have no place; the rest stays.
"""

import math
import re
from collections.abc import Mapping
from re import Match
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..anchorization.anchors import queries_as_anchors
from ..compat.torch_files import TRAINING_STATE
from ..models.layers.levit import stretch_biases
from .deit import DRAWN, GIVEN
from .renaming import Renaming, convert_state_dict
from .report import ConversionReport

KEPT = 'keys and values kept, queries left out'
FLAT = 'a 1 x 1 convolution is a linear layer'

ATTN = r'(backbone\.stages\.\d+\.\d+\.attn\.)'
# The parts of a block, under the names of all three.
PART_RULES = (
    (r'\.(qkv|kv)\.', '.in_proj.'),
    (r'\.q\.(ln|1)\.', '.query_proj.'),
    (r'\.proj\.(ln|1)\.', '.proj.'),
    (r'\.mlp\.(ln|linear)1\.', '.mlp.0.'),
    (r'\.mlp\.(ln|linear)2\.', '.mlp.2.'),
)
HEAD_RULES = (
    (r'^(head|head_dist)\.(?=(bn|linear|l)\.)', r'head.\1.'),
    (r'^(head\.(head|head_dist))\.l\.', r'\1.linear.'),
)
UNUSED = (
    TRAINING_STATE,
    (r'\.attention_bias_idxs$', 'the places of the biases, which follow from the size'),
)
NO_BIASES = (r'\battention_biases$', 'biases of positions on N x N scores')
# Adds nothing until it is trained.
MADE = ((r'\.num_batches_tracked$', torch.zeros), (r'^backbone\.pos_embed$', torch.zeros))


def convert_levit(
    source: Mapping[str, Any],
    target: Mapping[str, Tensor],
    anchors: Mapping[str, Tensor] | None = None,
) -> tuple[dict[str, Tensor], ConversionReport]:
    r"""Weights of a LeViT, plain or distilled.

    Learned anchors take the place of the queries of all tokens; a subsampling
    keeps its queries. Values, keys, output projections, MLPs, convolutions
    and heads stay, each with its normalisation. Anchors that are not given
    are drawn from the query projection: its normalisation tells mean b and
    deviation g of every channel of a query, and for tokens x of independent
    channels

    .. math:: b + g \, W_q x / \|W_q\|, \quad x \sim N(0, 1),

    has both (the norm is that of a row). The position embedding starts at
    zero, so that positions are to be learned by fine-tuning.

    Args:
        source: What ``compat.torch_files.arrays_of_torch`` gives: timm's
            names, for linear layers or 1 x 1 convolutions, the authors' or
            mmpretrain's.
        target: The state dict of a classifier on an ``AnchorLeViT`` in its
            training form, with mmpretrain's ``LeViTClsHead`` or ours.
        anchors: Name of an attention, such as
            ``'backbone.stages.0.0.attn'``, -> its anchors, of the shape in
            ``target``; ``None`` draws them.

    Returns:
        As :func:`~.renaming.convert_state_dict`. Biases of another square
        map are stretched; the report says so.
    """
    learned = any(name.endswith('.anchors') for name in target)
    renaming = Renaming(
        _block_rules(target) + PART_RULES + HEAD_RULES,
        UNUSED + ((NO_BIASES,) if learned else ()),
        MADE,
    )
    given = {renaming.rename(name): value for name, value in source.items()}
    entries, adapted = {}, {}
    for name, value in source.items():
        ours = renaming.rename(name)
        entries[name], how = _fit(ours, value, target)
        if how:
            adapted[ours] = how
    state, report = convert_state_dict(entries, target, renaming)
    report.adapted.update(adapted)
    for name in [name for name in report.missing if name.endswith('.anchors')]:
        attn = name.removesuffix('anchors')
        if anchors is None:
            value, how = _draw_anchors(attn, given, target), DRAWN
        else:
            value, how = anchors[attn.rstrip('.')], GIVEN
        if value is not None:
            state[name] = value.to('cpu', target[name].dtype)
            report.adapted[name] = how
            report.missing.remove(name)
    return {name: state[name] for name in target if name in state}, report


def _block_rules(target: Mapping[str, Tensor]) -> tuple:
    """Rules for the stem and for the numbers of blocks."""
    numbers = {
        (int(match[1]), int(match[2]))
        for match in (re.match(r'backbone\.stages\.(\d+)\.(\d+)\.', name) for name in target)
        if match
    }
    blocks = sorted(numbers)

    def counted(match: Match) -> str:
        """The authors count attentions and MLPs of all stages together."""
        index, part = divmod(int(match[1]), 2)
        if index >= len(blocks):
            return match[0]
        stage, block = blocks[index]
        return _prefix(stage, block, part)

    def staged(match: Match) -> str:
        """mmpretrain counts them in each stage."""
        block, part = divmod(int(match[2]), 2)
        return _prefix(int(match[1]), block, part)

    def later(match: Match) -> str:
        """timm has the subsampling apart from the blocks."""
        stage = int(match[1])
        return f'backbone.stages.{stage}.{int(match[2]) + (stage > 0)}.'

    return (
        (r'^backbone\.patch_embed\.patch_embed\.(\d)\.conv\.', r'backbone.stem.\1.linear.'),
        (r'^backbone\.patch_embed\.patch_embed\.', 'backbone.stem.'),
        (r'^backbone\.stages\.(\d)\.(\d+)\.(block\.)?', staged),
        (r'^stem\.conv(\d)\.', lambda m: f'backbone.stem.{2 * int(m[1]) - 2}.'),
        (r'^stages\.(\d)\.blocks\.(\d+)\.', later),
        (r'^stages\.(\d)\.downsample\.attn_downsample\.', r'backbone.stages.\1.0.attn.'),
        (r'^stages\.(\d)\.downsample\.', r'backbone.stages.\1.0.'),
        (r'^patch_embed\.', 'backbone.stem.'),
        (r'^blocks\.(\d+)\.(m\.)?', counted),
        (r'\.c\.weight$', '.linear.weight'),
    )


def _prefix(stage: int, block: int, part: int) -> str:
    """Our prefix of a block's attention, part 0, or MLP, part 1."""
    return f'backbone.stages.{stage}.{block}.{("attn", "mlp")[part]}.'


def _fit(ours: str, value: Any, target: Mapping[str, Tensor]) -> tuple[Any, str]:
    """An entry as the target has it, and how it was changed for that.

    What does not fit in a known way is left for the renaming to report.
    """
    how = ''
    if not isinstance(value, Tensor) or ours not in target:
        return value, how
    wanted = target[ours]
    if value.dim() == 4 and wanted.dim() == 2 and value.shape[2:] == (1, 1):
        value, how = value.flatten(1), FLAT
    projection = re.match(ATTN + r'in_proj\.(linear|bn)\.', ours)
    if projection and value.dim():
        heads, width = _queries(projection[1], value, target)
        if heads:
            rows = value.unflatten(0, (heads, -1))
            value, how = rows[:, width:].flatten(0, 1), KEPT
    if ours.endswith('attention_biases') and value.dim() == 2 and len(value):
        before, after = (math.isqrt(x.shape[1]) for x in (value, wanted))
        squares = (before**2, after**2) == (value.shape[1], wanted.shape[1])
        if squares and before not in (0, after):
            value = stretch_biases(value, (before,) * 2, (after,) * 2)
            how = f'resized from {before} x {before} to {after} x {after}'
    return value, how


def _queries(attn: str, value: Tensor, target: Mapping[str, Tensor]) -> tuple[int, int]:
    """Heads and width of the queries in an entry that have no place.

    Args:
        attn: Prefix of the attention in the target.
        value: An entry of its projection, (heads * (2 D + Dv), ...).
        target: The state dict of the model.

    Returns:
        heads and D; zeros where the target has no anchors, or queries too, or
        the entry does not fit.
    """
    anchors = target.get(f'{attn}anchors')
    if anchors is None or f'{attn}query_proj.linear.weight' in target:
        return 0, 0
    width = anchors.shape[-1]
    heads, rest = divmod(len(value) - len(target[f'{attn}in_proj.linear.weight']), width)
    fits = heads > 0 and rest == 0 and len(value) % heads == 0
    return (heads, width) if fits else (0, 0)


def _draw_anchors(
    attn: str, given: Mapping[str, Any], target: Mapping[str, Tensor]
) -> Tensor | None:
    """Anchors for an attention of the target, as :func:`convert_levit` says.

    Args:
        attn: Prefix of the attention.
        given: Entries of the file by our names.
        target: The state dict of the model.

    Returns:
        Anchors of the target's shape; ``None`` if the queries are not there.
    """
    subsamples = f'{attn}query_proj.linear.weight' in target
    part = f'{attn}query_proj.' if subsamples else f'{attn}in_proj.'
    values = [given.get(part + name) for name in ('linear.weight', 'bn.weight', 'bn.bias')]
    if not all(isinstance(value, Tensor) and value.dim() for value in values):
        return None
    weight, gain, bias = (value.float() for value in values)
    if weight.dim() < 2 or not (gain.shape == bias.shape == weight.shape[:1] and len(weight)):
        return None
    wanted = target[f'{attn}anchors'].shape
    weight = gain[:, None] * F.normalize(weight.flatten(1), dim=1)
    if not subsamples:
        heads, width = _queries(attn, weight, target)
        if not heads:
            return None
        weight, bias = (
            value.unflatten(0, (heads, -1))[:, :width].flatten(0, 1) for value in (weight, bias)
        )
    if len(weight) % wanted[-1] or (len(wanted) == 3 and len(weight) != wanted[0] * wanted[-1]):
        return None
    unscaled = torch.ones_like(weight[0]), torch.zeros_like(weight[0])
    return queries_as_anchors(weight, bias, unscaled, wanted)
