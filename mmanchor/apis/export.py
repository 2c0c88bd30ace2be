"""From a trained checkpoint to the deploy form, checked before it is kept."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import save_checkpoint
from torch.utils._pytree import tree_leaves

from .. import __version__
from ..analysis.complexity import default_size
from ..analysis.networks import switch_to_deploy
from ..engine.checkpoints import load_weights, read_checkpoint
from ..engine.choose_checkpoint import choose_checkpoint
from ..utils.config import building, require_model, toolbox
from ..utils.errors import UserError
from ..utils.files import (
    PathLike,
    make_folder,
    replacing,
    require_config_path,
    require_weights_path,
)

# Relative to the largest output; float32 sums in another order differ by
# less, a wrong fold by far more.
TOLERANCE = 1e-4
# What a config has of a run of training and not of its model.
_OF_A_RUN = ('work_dir', 'launcher', 'resume', 'load_from')


@dataclass
class DeployReport:
    """What an export gave.

    Args:
        checkpoint: The file of weights in deploy form.
        config: The config that builds the model for it.
        params_before: Parameters of the training form.
        params_after: Parameters of the deploy form.
        difference: Largest difference of the two forms' outputs on a random
            image, over the largest output.
    """

    checkpoint: Path
    config: Path
    params_before: int
    params_after: int
    difference: float


def export_deploy(cfg: Config, checkpoint: PathLike, out: PathLike) -> DeployReport:
    """Fold a trained model into its deploy form and write it.

    Beside the weights a config is written, under the same name and ``.py``,
    whose backbone is built in the deploy form. Optimizer states are left out.

    Args:
        cfg: The config that the checkpoint was trained with.
        checkpoint: The weights, in training form.
        out: The file to write, ``.pth`` or ``.safetensors``.

    Returns:
        What was written, and how far both forms agree.

    Raises:
        UserError: If ``out`` has another suffix or is the checkpoint itself,
            the checkpoint is of another model, or the model has no deploy
            form, or one that its config cannot build.
    """
    require_model(cfg)
    source = choose_checkpoint(checkpoint, 'CHECKPOINT', cfg.get('work_dir'))
    out = require_weights_path(out, 'OUT', source)
    config = require_config_path(out, cfg.filename)
    make_folder(out.parent, 'the folder of OUT')
    init_default_scope(toolbox(cfg))
    with building(cfg):
        model = MODELS.build(cfg.model).eval()
    loaded = read_checkpoint(source)
    load_weights(model, loaded, source)
    _require_deploy_form(model, cfg)
    params_before = _num_params(model)
    # Classifiers may know one size only.
    size = default_size(cfg) if toolbox(cfg) == 'mmpretrain' else (128, 160)
    difference = _switch_and_compare(model, torch.rand(1, 3, *size))

    deploy_cfg = _deploy_config(model, cfg)
    meta = dict(mmanchor_version=__version__)
    old = loaded.get('meta')
    if isinstance(old, dict) and 'dataset_meta' in old:
        meta['dataset_meta'] = old['dataset_meta']
    # Ours since `import mmanchor`: it writes both formats, never half a file.
    save_checkpoint(dict(state_dict=model.state_dict(), meta=meta), str(out))
    with replacing(config) as part:
        deploy_cfg.dump(str(part))
    return DeployReport(out, config, params_before, _num_params(model), difference)


def _require_deploy_form(model: Any, cfg: Config) -> None:
    backbone = getattr(model, 'backbone', None)
    # A backbone passes the call on to its parts, if there are any.
    parts = (
        [] if backbone is None else [each for each in backbone.modules() if each is not backbone]
    )
    if not any(hasattr(part, 'switch_to_deploy') for part in parts):
        raise UserError(
            f'the backbone {type(backbone).__name__} of {cfg.filename} has no deploy form'
        )


def _deploy_config(model: Any, cfg: Config) -> Config:
    """The config that builds the deploy form; it is built once to be sure."""
    deploy_cfg = Config(
        {key: value for key, value in cfg.to_dict().items() if key not in _OF_A_RUN},
        filename=cfg.filename,
    )
    deploy_cfg.model.backbone.deploy = True
    if hasattr(getattr(model, 'head', None), 'switch_to_deploy'):
        deploy_cfg.model.head.deploy = True
    with building(deploy_cfg):  # heads of mmpretrain fail at it
        MODELS.build(deploy_cfg.model)
    return deploy_cfg


@torch.no_grad()
def _switch_and_compare(model: Any, image: torch.Tensor) -> float:
    """Switch ``model`` in place; the relative change of its features."""
    # A classifier's own output too, as its head may have been switched.
    parts = [model.backbone]
    if hasattr(getattr(model, 'head', None), 'switch_to_deploy'):
        parts.append(model)
    before = tree_leaves([part(image) for part in parts])
    switch_to_deploy(model)
    after = tree_leaves([part(image) for part in parts])
    # By torch, for which the largest of numbers with a NaN is NaN.
    largest = float(torch.stack([x.abs().max() for x in before]).max())
    pairs = zip(before, after, strict=True)
    difference = float(torch.stack([(x - y).abs().max() for x, y in pairs]).max())
    if not math.isfinite(largest):
        raise UserError(
            f'the model gives {largest} for a random image: the checkpoint holds NaN or Inf, or '
            'values too large; nothing was written'
        )
    # So that a NaN does not pass.
    if not difference <= TOLERANCE * largest:
        raise UserError(
            f'the deploy form differs by {difference:g} of {largest:g}: nothing was written'
        )
    return difference / largest


def _num_params(model: torch.nn.Module) -> int:
    return sum(param.numel() for param in model.parameters())
