"""LeViT, from timm, its authors or mmpretrain.

For softmax attention all weights are copied. For learned anchors, the queries
of all tokens and the position biases are dropped and the rest is kept.
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
from .deit import DRAWN, GIVEN, KEPT
from .entries import Entries
from .renaming import Renaming, convert_state_dict
from .report import ConversionReport

FLAT = 'a 1 x 1 convolution is a linear layer'

ATTN = r'(backbone\.stages\.\d+\.\d+\.attn\.)'
# The parts of a block, under the names that all three use.
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
    (r'\.attention_bias_idxs$', 'indices of the biases, which follow from the size'),
)
NO_BIASES = (r'\battention_biases$', 'position biases of N x N scores')
# A position embedding of zeros contributes nothing until it is trained.
MADE = ((r'\.num_batches_tracked$', torch.zeros), (r'^backbone\.pos_embed$', torch.zeros))


def convert_levit(
    source: Mapping[str, Any],
    target: Mapping[str, Tensor],
    anchors: Mapping[str, Tensor] | None = None,
) -> tuple[dict[str, Tensor], ConversionReport]:
    r"""Weights of a LeViT, plain or distilled.

    Learned anchors replace the queries of all tokens; a subsampling attention
    keeps its queries. Values, keys, output projections, MLPs, convolutions
    and heads are kept, each with its normalization. Anchors that are not
    given are drawn from the query projection. Its normalization has the mean
    b and the standard deviation g of every channel of a query, and so has

    .. math:: b + g \, W_q x / \|W_q\|, \quad x \sim N(0, 1),

    for tokens x of independent channels (the norm is that of a row). The
    position embedding starts at zero and is learned by fine-tuning.

    Args:
        source: Result of ``compat.torch_files.arrays_of_torch``, with the
            names of timm (for linear layers or 1 x 1 convolutions), of the
            authors or of mmpretrain.
        target: The state dict of a classifier with an ``AnchorLeViT`` in its
            training form, and mmpretrain's ``LeViTClsHead`` or ours.
        anchors: Name of an attention, such as
            ``'backbone.stages.0.0.attn'``, -> its anchors, in the shape that
            they have in ``target``; ``None`` draws them.

    Returns:
        As :func:`~.renaming.convert_state_dict`. Biases of another square
        map are resized, and the report says so.
    """
    learned = any(name.endswith('.anchors') for name in target)
    renaming = Renaming(
        _block_rules(target) + PART_RULES + HEAD_RULES,
        UNUSED + ((NO_BIASES,) if learned else ()),
        MADE,
    )
    given = {renaming.rename(name): value for name, value in source.items()}
    entries = Entries.of(source)
    for name, value in source.items():
        ours = renaming.rename(name)
        fitted, how = _fit(ours, value, target)
        if how:
            entries.change(name, fitted, ours, how)
    for ours in target.keys() - given.keys():
        if ours.endswith('.anchors'):
            attn = ours.removesuffix('anchors')
            if anchors is not None:
                entries.add(ours, anchors[attn.rstrip('.')], GIVEN)
            elif (drawn := _draw_anchors(attn, given, target)) is not None:
                entries.add(ours, drawn, DRAWN)
    return convert_state_dict(entries, target, renaming)


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
        """mmpretrain counts them per stage."""
        block, part = divmod(int(match[2]), 2)
        return _prefix(int(match[1]), block, part)

    def later(match: Match) -> str:
        """timm has the subsampling outside the blocks."""
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
    """Our prefix of a block's attention (part 0) or MLP (part 1)."""
    return f'backbone.stages.{stage}.{block}.{("attn", "mlp")[part]}.'


def _fit(ours: str, value: Any, target: Mapping[str, Tensor]) -> tuple[Any, str]:
    """Transform an entry for the target, and say how.

    An entry that does not fit in a known way is not changed; the renaming
    reports it.
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
    """Number of heads and width of the queries to drop from an entry.

    Args:
        attn: Prefix of the attention in the target.
        value: An entry of its projection, (heads * (2 D + Dv), ...).
        target: The state dict of the model.

    Returns:
        heads and D; zeros if the target has no anchors, has queries, too, or
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
    """Draw anchors for an attention, see :func:`convert_levit`.

    Args:
        attn: Prefix of the attention.
        given: Entries of the file under our names.
        target: The state dict of the model.

    Returns:
        Anchors of the target's shape; ``None`` if the queries are missing or
        do not fit.
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
