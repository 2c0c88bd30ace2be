"""The released Sparsifiner (github.com/lim142857/Sparsifiner), on DeiT.

Its code is timm's ``VisionTransformer`` with a mask predictor in each
attention.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..models.layers.sparsifiner import resize_basis_axis, resize_token_axis
from .deit import TRUNK_RULES, UNUSED, explain_classes, fit_positions
from .renaming import Renaming, convert_state_dict
from .report import ConversionReport

SPARSIFINER = Renaming(
    rules=TRUNK_RULES
    + (
        (r'\.attn\.qkv\.', '.attn.in_proj.'),
        (r'\.mask_predictor\.proj_c_q\.', '.predictor.query_proj.'),
        (r'\.mask_predictor\.proj_c_k\.', '.predictor.key_proj.'),
        (r'\.mask_predictor\.proj_n$', '.predictor.compress'),
        (r'\.mask_predictor\.proj_back_n$', '.predictor.basis'),
    ),
    unused=UNUSED,
)


def convert_sparsifiner(
    source: Mapping[str, Any], target: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Weights of a released classifier, exactly.

    Args:
        source: What ``compat.torch_files.arrays_of_torch`` gives.
        target: The state dict of a classifier on a ``Sparsifiner`` with a
            class token. Its keep rates are not weights: they have to be
            those that the checkpoint was trained with.

    Returns:
        As :func:`~.renaming.convert_state_dict`. What belongs to positions
        is resized to another size; the report says so.
    """
    entries, resized = fit_positions(source, target)
    for name, loaded in source.items():
        ours = SPARSIFINER.rename(name)
        if re.search(r'\.predictor\.(compress|basis)$', ours):
            fitted = _fit_predictor(loaded, target.get(ours), ours)
            if fitted is not loaded:
                entries[name] = fitted
                resized[ours] = 'resized from {} x {} to {} x {}'.format(
                    *loaded.shape, *fitted.shape
                )
    state, report = convert_state_dict(entries, target, SPARSIFINER)
    report.adapted.update(resized)
    explain_classes(report)
    return state, report


def _fit_predictor(loaded: Any, wanted: Any, name: str) -> Any:
    """Weights of tokens for another size, if both token maps are square.

    Args:
        loaded: (1 + h * h, k).
        wanted: The target's, (1 + H * H, K), for its shape.
        name: Ours, which tells what the weights are for.

    Returns:
        ``loaded`` itself if it fits or cannot be made to.
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
