"""Plain vision transformers of several libraries under timm's names.

What :func:`~.deit.convert_deit` then takes. Names are recognized, not files: a
checkpoint may come from anywhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

from torch import Tensor

from ..compat.errors import CheckpointError
from ..compat.torch_files import BESIDE

# Rows of (pattern, replacement) by library; the first name tells which it is.
TORCHVISION = (
    (r'^class_token$', 'cls_token'),
    (r'^conv_proj\.', 'patch_embed.proj.'),
    (r'^encoder\.pos_embedding$', 'pos_embed'),
    (r'^encoder\.ln\.', 'norm.'),
    (r'^encoder\.layers\.encoder_layer_(\d+)\.', r'blocks.\1.'),
    (r'\.ln_([12])\.', r'.norm\1.'),
    (r'\.self_attention\.in_proj_', '.attn.qkv.'),
    (r'\.self_attention\.out_proj\.', '.attn.proj.'),
    (r'\.mlp\.(0|linear_1)\.', '.mlp.fc1.'),
    (r'\.mlp\.(3|linear_2)\.', '.mlp.fc2.'),
    (r'^heads\.head\.', 'head.'),
)
OPENMMLAB = (
    (r'^backbone\.', ''),
    (r'^head\.layers\.', ''),
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^ln1\.', 'norm.'),
    (r'^layers\.', 'blocks.'),
    (r'\.ln([12])\.', r'.norm\1.'),
    (r'\.attn\.in_proj\.', '.attn.qkv.'),
    (r'\.(ffn|mlp)\.layers\.0\.0\.', '.mlp.fc1.'),
    (r'\.(ffn|mlp)\.layers\.1\.', '.mlp.fc2.'),
    (r'\.attn\.gamma1\.weight$', '.ls1.gamma'),
    (r'\.ffn\.gamma2\.weight$', '.ls2.gamma'),
)
# Of masked training only.
UNUSED = ('mask_token',)


@dataclass(frozen=True)
class VitShape:
    """What the weights of a plain vision transformer say of its shape.

    Args:
        embed_dims: C, the width of a token.
        num_layers: Number of blocks.
        mlp_ratio: Width of the hidden layer over C.
        patch_size: In pixels.
        img_size: In pixels; square.
        extra_tokens: ``('cls',)`` or ``('cls', 'dist')``.
        num_classes: 0 without a classifier.
    """

    embed_dims: int
    num_layers: int
    mlp_ratio: float
    patch_size: int
    img_size: int
    extra_tokens: tuple[str, ...]
    num_classes: int


def as_timm(entries: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    """Weights of a plain vision transformer under timm's names.

    Layer scale, which DINOv2 has, is multiplied into the projections before
    it, which is exact.

    Args:
        entries: Result of ``compat.torch_files.arrays_of_torch``.
        name: The file, for messages.

    Returns:
        A new dict.

    Raises:
        CheckpointError: If it is no plain vision transformer.

    Example:
        >>> import torch
        >>> list(as_timm({'class_token': torch.ones(1, 1, 8)}, 'a.pth'))
        ['cls_token']
    """
    weights = {
        key: value
        for key, value in entries.items()
        if not key.startswith((BESIDE, 'data_preprocessor.')) and key not in UNUSED
    }
    rules: tuple[tuple[str, str], ...] = ()
    if any(key.startswith('backbone.') for key in weights):
        rules = OPENMMLAB
    elif 'class_token' in weights:
        rules = TORCHVISION
    for pattern, replacement in rules:
        weights = {re.sub(pattern, replacement, key): value for key, value in weights.items()}
    if not {'cls_token', 'class_token'} & weights.keys():
        raise CheckpointError(
            f'{name} is no plain vision transformer with a class token: it has '
            f'{", ".join(list(weights)[:3])} and so on'
        )
    return _fold_layer_scale(weights)


def vit_shape(weights: Mapping[str, Tensor], name: str) -> VitShape:
    """Read the shape of a network off its weights.

    Args:
        weights: Result of :func:`as_timm`.
        name: The file, for messages.

    Raises:
        CheckpointError: If a weight that tells it is missing, or the map of
            the position embedding is not square.
    """
    needed = ('cls_token', 'pos_embed', 'patch_embed.proj.weight', 'blocks.0.mlp.fc1.weight')
    missing = [key for key in (*needed, 'blocks.0.attn.qkv.weight') if key not in weights]
    if missing:
        raise CheckpointError(
            f"{name} has no {missing[0]} (by timm's names): it is no plain vision transformer "
            'with softmax attention'
        )
    width, patch = weights['cls_token'].shape[-1], weights['patch_embed.proj.weight'].shape[-1]
    extra = ('cls', 'dist') if 'dist_token' in weights else ('cls',)
    positions = weights['pos_embed'].shape[1] - len(extra)
    side = isqrt(positions)
    if side * side != positions:
        raise CheckpointError(
            f'{name} has a position embedding of {positions} patches, which are no square map'
        )
    head = weights.get('head.weight')
    return VitShape(
        width,
        1 + max(int(key.split('.')[1]) for key in weights if key.startswith('blocks.')),
        weights['blocks.0.mlp.fc1.weight'].shape[0] / width,
        patch,
        side * patch,
        extra,
        0 if head is None else head.shape[0],
    )


def _fold_layer_scale(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    folded = {}
    for key, value in weights.items():
        match = re.fullmatch(r'(blocks\.\d+\.)(attn\.proj|mlp\.fc2)\.(weight|bias)', key)
        if match:
            scale = f'{match[1]}ls{1 if match[2] == "attn.proj" else 2}.gamma'
            if scale in weights:
                gamma = weights[scale]
                value = value * (gamma[:, None] if match[3] == 'weight' else gamma)
        if not re.fullmatch(r'blocks\.\d+\.ls[12]\.gamma', key):
            folded[key] = value
    return folded
