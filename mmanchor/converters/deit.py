"""Vision transformers of DeiT's layout, as timm and DeiT's authors save them.

Both use the same names. The softmax twin gets every number as it is. Where
the model has anchors, a query projection has no place; the rest stays.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..anchorization.anchors import fold_value_bias, queries_as_anchors
from ..compat.torch_files import TRAINING_STATE
from ..models.layers.token_grid import resize_position_embedding
from .renaming import Renaming, convert_state_dict
from .report import ConversionReport

Entries = dict[str, Any]

TRUNK_RULES = (
    (r'^(?=(cls_token|dist_token|pos_embed|patch_embed|blocks|norm)\b)', 'backbone.'),
    (r'^(head|head_dist)\.', r'head.layers.\1.'),
    (r'^backbone\.patch_embed\.proj\.', 'backbone.patch_embed.projection.'),
    (r'^backbone\.blocks\.', 'backbone.layers.'),
    (r'\.mlp\.fc1\.', '.mlp.layers.0.0.'),
    (r'\.mlp\.fc2\.', '.mlp.layers.1.'),
)
UNUSED = (TRAINING_STATE,)
# A branch that adds nothing until it is trained.
MADE = ((r'\.attn\.depthwise\.(weight|bias)$', torch.zeros),)
DEIT = Renaming(
    rules=TRUNK_RULES + ((r'\.attn\.qkv\.', '.attn.in_proj.'),), unused=UNUSED, made=MADE
)

DRAWN = 'anchors: queries of random tokens'
GIVEN = 'anchors: clusters in the given images'
KEPT = 'keys and values kept, queries left out'
FOLDED = 'value bias folded in, which is exact'


def convert_deit(
    source: Mapping[str, Any],
    target: Mapping[str, Tensor],
    anchors: Mapping[str, Tensor] | None = None,
) -> tuple[dict[str, Tensor], ConversionReport]:
    r"""Weights of a DeiT, plain or distilled, or of another plain ViT.

    Learned anchors take the place of queries. An input projection without
    bias loses nothing by it: the value bias moves into the output projection,
    :math:`b + W b_v`, exactly, since the weights of every token sum to 1; the
    query bias acts through the anchors; and softmax attention does not depend
    on the key bias at all. A projection with bias keeps those of keys and
    values.

    Args:
        source: What ``compat.torch_files.arrays_of_torch`` gives.
        target: The state dict of a classifier on an ``AnchorFormer`` with
            any attention in its training form.
        anchors: Name of an attention, such as ``'backbone.layers.0.attn'``,
            -> its anchors, of the shape in ``target``. ``None`` draws them
            as :func:`~.anchors.queries_as_anchors` says.

    Returns:
        As :func:`~.renaming.convert_state_dict`. A position embedding of
        another size is resized; the report says so.
    """
    entries, adapted = fit_positions(source, target)
    for name in source:
        match = re.fullmatch(r'(blocks\.\d+\.)attn\.qkv\.weight', name)
        if match and _wants_anchors(source, match[1], target):
            attn = DEIT.rename(match[1]) + 'attn.'
            given = None if anchors is None else anchors[attn.rstrip('.')]
            adapted.update(
                (attn + part, how)
                for part, how in _give_anchors(
                    entries,
                    match[1],
                    target[f'{attn}anchors'],
                    given,
                    f'{attn}in_proj.bias' in target,
                ).items()
            )
    state, report = convert_state_dict(entries, target, DEIT)
    for name in entries.keys() - source.keys():
        del report.converted[name]
    for name in source.keys() - entries.keys():
        report.skipped[name] = 'bias of an input projection that has none now'
    report.adapted.update(adapted)
    explain_classes(report)
    return state, report


def _wants_anchors(source: Mapping[str, Any], block: str, target: Mapping[str, Tensor]) -> bool:
    """Whether the target has anchors for a block that is as it should be.

    Of anything else the renaming says how it does not fit.
    """
    attn = DEIT.rename(block) + 'attn.'
    if f'{attn}anchors' not in target:
        return False
    width = target[f'{attn}proj.weight'].shape[0]
    shapes = {
        'attn.qkv.weight': (3 * width, width),
        'attn.proj.weight': (width, width),
        'attn.proj.bias': (width,),
        'norm1.weight': (width,),
        'norm1.bias': (width,),
    }
    if f'{block}attn.qkv.bias' in source:
        shapes['attn.qkv.bias'] = (3 * width,)
    return all(
        isinstance(source.get(block + name), Tensor) and source[block + name].shape == shape
        for name, shape in shapes.items()
    )


def _give_anchors(
    entries: Entries, block: str, wanted: Tensor, given: Tensor | None, has_bias: bool
) -> dict[str, str]:
    """Change a block's entries, in place, to those of learned anchors.

    Args:
        entries: What is converted, under the file's names.
        block: Prefix of the block.
        wanted: The target's anchors, for their shape.
        given: The anchors; ``None`` draws them.
        has_bias: Whether the target's input projection has one.

    Returns:
        Part of our attention -> how it was made.
    """
    attn = f'{block}attn.'
    weight, bias = (entries[f'{attn}qkv.weight'].float(), entries.get(f'{attn}qkv.bias'))
    width = weight.shape[1]
    changes = {'in_proj.weight': KEPT, 'anchors': GIVEN}
    if given is None:
        changes['anchors'] = DRAWN
        given = queries_as_anchors(
            weight[:width],
            None if bias is None else bias[:width].float(),
            (entries[f'{block}norm1.weight'].float(), entries[f'{block}norm1.bias'].float()),
            wanted.shape,
        )
    entries[f'{attn}anchors'] = given
    entries[f'{attn}qkv.weight'] = weight[width:]
    if bias is not None and has_bias:
        entries[f'{attn}qkv.bias'] = bias[width:]
        changes['in_proj.bias'] = KEPT
    elif bias is not None:
        del entries[f'{attn}qkv.bias']
        entries[f'{attn}proj.bias'] = fold_value_bias(
            bias[2 * width :], entries[f'{attn}proj.weight'], entries[f'{attn}proj.bias']
        )
        changes['proj.bias'] = FOLDED
    return changes


def fit_positions(source: Mapping[str, Any], target: Mapping[str, Tensor]) -> tuple[Entries, dict]:
    """Resize a position embedding between square grids of tokens.

    Args:
        source: Entries of the file, with ``pos_embed``.
        target: The state dict of the model.

    Returns:
        A copy of the entries, and what to say of the embedding in
        ``adapted``; where a grid is not square nothing changes, and the
        shapes will not fit.
    """
    entries = dict(source)
    loaded, wanted = source.get('pos_embed'), target.get('backbone.pos_embed')
    if (
        not isinstance(loaded, Tensor)
        or wanted is None
        or (loaded.shape == wanted.shape or loaded.dim() != 3 or 0 in loaded.shape)
    ):
        return entries, {}
    extra = sum(f'{name}_token' in source for name in ('cls', 'dist'))
    sides = [math.isqrt(max(each.shape[1] - extra, 0)) for each in (loaded, wanted)]
    if 0 in sides or [side**2 + extra for side in sides] != [loaded.shape[1], wanted.shape[1]]:
        return entries, {}
    before, after = ((side, side) for side in sides)
    entries['pos_embed'] = resize_position_embedding(loaded, before, after, extra)
    how = 'resized from {0} x {0} to {1} x {1}'.format(*sides)
    return entries, {'backbone.pos_embed': how}


def explain_classes(report: ConversionReport) -> None:
    """Say, in place, what to do about another number of classes."""
    for name, how in report.mismatched.items():
        shape = re.match(r'\((\d+), ', how)
        if shape and re.fullmatch(r'(head|head_dist)\.weight', name):
            report.mismatched[name] = (
                f'{how}; for {shape[1]} classes give '
                f'--cfg-options model.head.num_classes={shape[1]}'
            )
