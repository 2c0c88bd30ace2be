"""The released Sparsifiner (github.com/lim142857/Sparsifiner), on DeiT.

The released model is timm's ``VisionTransformer`` with a mask predictor in
each attention.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..models.layers.sparsifiner import resize_basis_axis, resize_token_axis
from .deit import ADVICE, TRUNK_RULES, UNUSED, fit_positions
from .entries import Entries
from .renaming import Renaming, convert_state_dict
from .report import ConversionReport

SPARSIFINER = Renaming(
    rules=(
        *TRUNK_RULES,
        (r'\.attn\.qkv\.', '.attn.in_proj.'),
        (r'\.mask_predictor\.proj_c_q\.', '.predictor.query_proj.'),
        (r'\.mask_predictor\.proj_c_k\.', '.predictor.key_proj.'),
        (r'\.mask_predictor\.proj_n$', '.predictor.compress'),
        (r'\.mask_predictor\.proj_back_n$', '.predictor.basis'),
    ),
    unused=UNUSED,
    advice=ADVICE,
)


def convert_sparsifiner(
    source: Mapping[str, Any], target: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Weights of a released classifier, exactly.

    Args:
        source: Result of ``compat.torch_files.arrays_of_torch``.
        target: The state dict of a classifier with a ``Sparsifiner`` with a
            class token. The keep rates are not in the checkpoint: the model
            must have those that it was trained with.

    Returns:
        As :func:`~.renaming.convert_state_dict`. Position-dependent weights
        of another size are resized, and the report says so.
    """
    entries = Entries.of(source)
    fit_positions(entries, target)
    for name, loaded in source.items():
        ours = SPARSIFINER.rename(name)
        if re.search(r'\.predictor\.(compress|basis)$', ours):
            fitted = _fit_predictor(loaded, target.get(ours), ours)
            if fitted is not loaded:
                before, after = (' x '.join(map(str, each.shape)) for each in (loaded, fitted))
                entries.change(name, fitted, ours, f'resized from {before} to {after}')
    return convert_state_dict(entries, target, SPARSIFINER)


def _fit_predictor(loaded: Any, wanted: Any, name: str) -> Any:
    """Resize per-token weights, if both token maps are square.

    Args:
        loaded: Weights in the file, (1 + h * h, k).
        wanted: Weights of the target, (1 + H * H, K), for their shape.
        name: Their name in the target.

    Returns:
        The resized weights; ``loaded`` itself if it fits, or cannot be
        resized.
    """
    both = (loaded, wanted)
    if not all(isinstance(each, Tensor) and each.dim() == 2 for each in both):
        return loaded
    if loaded.shape == wanted.shape or 0 in loaded.shape:
        return loaded
    if len(loaded) != len(wanted):
        sides = [math.isqrt(len(each) - 1) for each in both]
        if 0 in sides or [side**2 + 1 for side in sides] != [len(each) for each in both]:
            return loaded
        grids = [(side, side) for side in sides]
        loaded = resize_token_axis(loaded.float(), 1, *grids, sums=name.endswith('compress'))
    return resize_basis_axis(torch.as_tensor(loaded), wanted.shape[1])
