"""What the rows of the ablations cost, and how their anchors start."""

from copy import deepcopy
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmanchor.analysis.complexity import count_complexity, default_size
from mmanchor.analysis.networks import build_test_model, errors_only, switch_to_deploy
from mmanchor.analysis.timing import interleave
from mmanchor.datasets.digits import Digits
from mmanchor.models.layers import LearnedAnchorAttention
from mmanchor.ops import anchor_assignment

_BATCH, _ROUNDS = 64, 15


def measure_costs(configs: dict[str, Config]) -> dict[str, dict[str, Any]]:
    """Measure classifiers on the digits before they are trained.

    Args:
        configs: Configs by name, all for images of one size.

    Returns:
        By name ``params``, ``macs`` and ``microseconds`` per image (one
        thread, batches of 64, median of 15 rounds in which all take turns),
        and ``anchors_per_token`` (see :func:`anchors_per_token`). Costs are
        those of the deploy form (``deploy`` is true), or of the training form
        if it takes fewer multiply-adds, as with many anchors.
    """
    digits = Digits('test')
    images = (
        torch.stack([torch.from_numpy(digits[i]['img']).permute(2, 0, 1) for i in range(_BATCH)])
        / 127.5
        - 1
    )
    models, costs = {}, {}
    for name, cfg in configs.items():
        torch.manual_seed(0)
        model = build_test_model(cfg)
        with errors_only():
            model.init_weights()
        spread = anchors_per_token(model, images)
        folded = deepcopy(model)
        switch_to_deploy(folded)
        both = [count_complexity(each, default_size(cfg)) for each in (model, folded)]
        deploy = both[1].macs <= both[0].macs
        models[name] = folded if deploy else model
        costs[name] = dict(
            params=both[deploy].params,
            macs=both[deploy].macs,
            deploy=deploy,
            anchors_per_token=spread,
        )
    for name, seconds in _time(models, images).items():
        costs[name]['microseconds'] = 1e6 * seconds / _BATCH
    return costs


@torch.no_grad()
def anchors_per_token(model: torch.nn.Module, images: Tensor) -> float | None:
    """Over how many learned anchors a token is spread.

    This is the exponential of the entropy of its assignment, averaged over
    tokens, heads and layers: M if it is even, 1 if one anchor takes all.

    Args:
        model: A classifier on an ``AnchorFormer`` in training form.
        images: Preprocessed images, (B, 3, H, W).

    Returns:
        The number; ``None`` for a model without learned anchors.
    """
    found: list[float] = []

    def note(attention: LearnedAnchorAttention, args: tuple) -> None:
        keys = attention.in_proj(args[0])[..., : attention.embed_dims]
        keys = keys.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)
        shares = anchor_assignment(keys, attention.anchors)
        entropy = torch.special.entr(shares).sum(dim=-1)
        found.append(float(entropy.exp().mean()))

    handles = [
        module.register_forward_pre_hook(note)
        for module in model.modules()
        if isinstance(module, LearnedAnchorAttention)
    ]
    model(images)
    for handle in handles:
        handle.remove()
    return sum(found) / len(found) if found else None


@torch.no_grad()
def _time(models: dict[str, torch.nn.Module], images: Tensor) -> dict[str, float]:
    """Median seconds of a batch on one thread, by model."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = interleave(
            {name: lambda model=model: model(images) for name, model in models.items()}, _ROUNDS
        )
    finally:
        torch.set_num_threads(threads)
    return {name: median(each) for name, each in times.items()}
