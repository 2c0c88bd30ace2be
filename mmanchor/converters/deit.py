"""Vision transformers in the layout of DeiT, from timm or the authors of DeiT.

Both use the same names. For softmax attention all weights are copied. For
learned anchors, the query projection is dropped and the rest is kept.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..anchorization.anchors import fold_value_bias, queries_as_anchors
from ..compat.torch_files import TRAINING_STATE
from ..models.layers.learned_attention import first_links
from ..models.layers.token_grid import resize_position_embedding
from .entries import Entries
from .renaming import Renaming, convert_state_dict
from .report import ConversionReport

TRUNK_RULES = (
    (r'^(?=(cls_token|dist_token|pos_embed|patch_embed|blocks|norm)\b)', 'backbone.'),
    (r'^(head|head_dist)\.', r'head.layers.\1.'),
    (r'^backbone\.patch_embed\.proj\.', 'backbone.patch_embed.projection.'),
    (r'^backbone\.blocks\.', 'backbone.layers.'),
    (r'\.mlp\.fc1\.', '.mlp.layers.0.0.'),
    (r'\.mlp\.fc2\.', '.mlp.layers.1.'),
)
UNUSED = (TRAINING_STATE,)
# What contributes nothing until it is trained.
MADE = (
    (r'\.attn\.(depthwise\.(weight|bias)|value_residual|anchor_bias)$', torch.zeros),
    (r'\.attn\.links$', first_links),
    (r'\.attn\.score_scale$', torch.ones),
)
# A classifier for another number of classes.
ADVICE = (
    (
        r'^(head|head_dist)\.weight$',
        'for {0} classes give --cfg-options model.head.num_classes={0}',
    ),
)
DEIT = Renaming(
    rules=(*TRUNK_RULES, (r'\.attn\.qkv\.', '.attn.in_proj.')),
    unused=UNUSED,
    made=MADE,
    advice=ADVICE,
)

DRAWN = 'anchors: queries of random tokens'
GIVEN = 'anchors: clusters of queries and keys in the given images'
KEPT = 'keys and values kept, queries dropped'
FOLDED = 'value bias folded in, which is exact'


def convert_deit(
    source: Mapping[str, Any],
    target: Mapping[str, Tensor],
    anchors: Mapping[str, Tensor] | None = None,
) -> tuple[dict[str, Tensor], ConversionReport]:
    r"""Weights of a DeiT, plain or distilled, or of another plain ViT.

    Learned anchors replace the queries. If the input projection has no bias,
    nothing is lost: the value bias is folded into the output projection,
    :math:`b + W b_v`, which is exact, since the weights of every token sum to
    1; the query bias acts through the anchors; and softmax attention does not
    depend on the key bias. If it has a bias, those of keys and values are
    kept.

    Args:
        source: Result of ``compat.torch_files.arrays_of_torch``.
        target: The state dict of a classifier with an ``AnchorFormer`` with
            any attention in its training form.
        anchors: Name of an attention, such as ``'backbone.layers.0.attn'``,
            -> its anchors, in the shape that they have in ``target``.
            ``None`` draws them by
            :func:`~mmanchor.anchorization.queries_as_anchors`.

    Returns:
        As :func:`~.renaming.convert_state_dict`. A position embedding of
        another size is resized, and the report says so.
    """
    entries = Entries.of(source)
    fit_positions(entries, target)
    for name in source:
        match = re.fullmatch(r'(blocks\.\d+\.)attn\.qkv\.weight', name)
        if match and _wants_anchors(source, match[1], target):
            _replace_queries(entries, match[1], target, anchors)
    return convert_state_dict(entries, target, DEIT)


def _wants_anchors(source: Mapping[str, Any], block: str, target: Mapping[str, Tensor]) -> bool:
    """Whether the target has anchors for a block whose entries fit.

    If they do not fit, the renaming reports it.
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


def _replace_queries(
    entries: Entries, block: str, target: Mapping[str, Tensor], anchors: Mapping[str, Tensor] | None
) -> None:
    """Replace the queries of a block by learned anchors, in place.

    Args:
        entries: The entries of the file.
        block: Prefix of the block in the file.
        target: The state dict of the model.
        anchors: As in :func:`convert_deit`.
    """
    attn, ours = f'{block}attn.', f'{DEIT.rename(block)}attn.'
    values = entries.values
    weight, bias = values[f'{attn}qkv.weight'].float(), values.get(f'{attn}qkv.bias')
    width = weight.shape[1]
    if anchors is None:
        drawn = queries_as_anchors(
            weight[:width],
            None if bias is None else bias[:width].float(),
            (values[f'{block}norm1.weight'].float(), values[f'{block}norm1.bias'].float()),
            target[f'{ours}anchors'].shape,
        )
        entries.add(f'{ours}anchors', drawn, DRAWN)
    else:
        entries.add(f'{ours}anchors', anchors[ours.removesuffix('.')], GIVEN)
    entries.change(f'{attn}qkv.weight', weight[width:], f'{ours}in_proj.weight', KEPT)
    if bias is None:
        return
    if f'{ours}in_proj.bias' in target:
        entries.change(f'{attn}qkv.bias', bias[width:], f'{ours}in_proj.bias', KEPT)
        return
    entries.drop(f'{attn}qkv.bias', 'the input projection has no bias')
    folded = fold_value_bias(
        bias[2 * width :], values[f'{attn}proj.weight'], values[f'{attn}proj.bias']
    )
    entries.change(f'{attn}proj.bias', folded, f'{ours}proj.bias', FOLDED)


def fit_positions(entries: Entries, target: Mapping[str, Tensor]) -> None:
    """Resize a position embedding between square grids of tokens, in place.

    An embedding of a grid that is not square is not changed, so that its
    shape will not fit.

    Args:
        entries: The entries of the file.
        target: The state dict of the model.
    """
    loaded, wanted = entries.values.get('pos_embed'), target.get('backbone.pos_embed')
    if not isinstance(loaded, Tensor) or wanted is None:
        return
    if loaded.shape == wanted.shape or loaded.dim() != 3 or 0 in loaded.shape:
        return
    extra = sum(f'{name}_token' in entries.values for name in ('cls', 'dist'))
    sides = [math.isqrt(max(each.shape[1] - extra, 0)) for each in (loaded, wanted)]
    if 0 in sides or [side**2 + extra for side in sides] != [loaded.shape[1], wanted.shape[1]]:
        return
    before, after = sides
    entries.change(
        'pos_embed',
        resize_position_embedding(loaded, (before, before), (after, after), extra),
        'backbone.pos_embed',
        f'resized from {before} x {before} to {after} x {after}',
    )
