"""From a config and a checkpoint to a model that predicts."""

import copy
import warnings
from importlib import import_module
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..compat.trust import trust_checkpoint as trust_file
from ..data_check.recipe import slide_fault
from ..data_check.sources import data_sources
from ..engine.checkpoints import TRAINING_ONLY, load_weights, read_checkpoint
from ..engine.choose_checkpoint import choose_checkpoint
from ..runtime.sessions import is_exported
from ..utils.config import building, change_config, load_config, require_model, toolbox
from ..utils.errors import UserError
from ..utils.files import PathLike
from .exported import ExportedModel
from .model import Model

# By toolbox; a task's module is imported only where it is needed.
_MODELS = {
    'mmdet': ('.detection', 'Detector'),
    'mmseg': ('.segmentation', 'Segmentor'),
    'mmpretrain': ('.classification', 'Classifier'),
}


def load(
    config: PathLike | Config,
    checkpoint: PathLike | None = None,
    device: str | None = None,
    *,
    cfg_options: dict[str, Any] | None = None,
    tta: bool = False,
    trust_checkpoint: bool = False,
) -> Model:
    """Load a model of mmdet, mmseg or mmpretrain, ours or somebody else's.

    Args:
        config: A config file, the name of one of ours, or a ``Config``, which
            is not changed. Or a file of ``mmanchor export``, which stands for
            itself: nothing else is then taken.
        checkpoint: The weights, ``.pth`` or ``.safetensors``; also ``'latest'``
            or ``'best'`` of the config's ``work_dir``. ``None`` leaves the
            weights random, as to try things out.
        device: Such as ``'cuda:1'``; ``None`` takes a GPU if there is one.
        cfg_options: Dotted keys and values to override in the config.
        tta: Average over the views of the config's ``tta_pipeline``.
        trust_checkpoint: Read the checkpoint even if it may run code.

    Returns:
        The model, ready to predict.

    Raises:
        UserError: If something needed is missing, the config cannot be built,
            or the checkpoint is of another model.

    Example:
        >>> model = load('picodet_anchorformer-demo_1xb8-6e_demo-160', device='cpu')
        >>> import numpy as np
        >>> image = np.zeros((120, 160, 3), np.uint8)
        >>> [result] = model.predict(image, score_thr=0.9)
        >>> model.task, result.boxes.shape
        ('detection', (0, 4))
    """
    if is_exported(config):
        if checkpoint is not None or device is not None or cfg_options or tta:
            raise UserError(
                f'{str(config)!r} is an exported file: it takes no checkpoint, no device, no '
                'cfg_options and no tta'
            )
        return ExportedModel(config)
    cfg = _own_config(config, cfg_options)
    kind = model_class(cfg)
    require_model(cfg)
    if fault := slide_fault(cfg):
        raise UserError(fault)
    device = choose_device(device)
    weights: dict[str, Any] = {}
    if checkpoint is not None:
        path = choose_checkpoint(checkpoint, 'CHECKPOINT', cfg.get('work_dir'))
        if trust_checkpoint:
            trust_file(path)
        weights = read_checkpoint(path)
    with DefaultScope.overwrite_default_scope(toolbox(cfg)), building(cfg):
        model = kind(cfg, device, tta)
    meta: Any = {}
    if checkpoint is None:
        warnings.warn(
            f'no checkpoint was given: the weights of {cfg.filename} are random', stacklevel=2
        )
    else:
        load_weights(model.module, weights, path, TRAINING_ONLY)
        meta = weights.get('meta')
    named = meta.get('dataset_meta') if isinstance(meta, dict) else None
    model.set_meta(named or _config_meta(cfg))
    return model


def predict(
    config: PathLike | Config,
    checkpoint: PathLike,
    inputs: Any,
    device: str | None = None,
    batch_size: int = 1,
    score_thr: float = 0.3,
) -> list[Any]:
    """Load a model and predict once; to predict again, keep what ``load`` returns.

    Args:
        config: As for :func:`load`.
        checkpoint: As for :func:`load`.
        inputs: As for :meth:`Model.predict <mmanchor.inference.model.Model.predict>`.
        device: As for :func:`load`.
        batch_size: Neighboring images of equal size at once.
        score_thr: Detection: boxes below this score are left out.

    Returns:
        A result for each image.
    """
    return load(config, checkpoint, device).predict(inputs, batch_size, score_thr)


def model_class(cfg: Config) -> type[Model]:
    """The class for the toolbox of a config.

    Raises:
        UserError: If it is another toolbox.
    """
    scope = toolbox(cfg)
    if scope not in _MODELS:
        raise UserError(
            f'predict works for configs of {", ".join(_MODELS)} (their default_scope), '
            f'got {scope!r}'
        )
    module, name = _MODELS[scope]
    return getattr(import_module(module, __package__), name)


def choose_device(device: str | None = None) -> str:
    """A device that is there.

    Args:
        device: Such as ``'cuda:1'``; ``None`` takes a GPU if there is one.

    Returns:
        The name of the device.

    Raises:
        UserError: If this machine does not have it, or it holds no values.
    """
    if device is None:
        return 'cuda:0' if torch.cuda.is_available() else 'cpu'
    try:
        torch.zeros(1, device=device).cpu()
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        count = torch.cuda.device_count()
        has = f'cpu and {count} CUDA devices' if count else 'only the CPU'
        raise UserError(f'--device {device!r} is not available; this machine has {has}') from error
    return device


def _own_config(config: PathLike | Config, cfg_options: dict[str, Any] | None) -> Config:
    """A config that may be changed."""
    if not isinstance(config, Config):
        return load_config(config, cfg_options)
    cfg = copy.deepcopy(config)
    change_config(cfg, cfg_options)
    return cfg


def _config_meta(cfg: Config) -> dict[str, Any]:
    """Classes and palette of the config's test data, if it has any."""
    try:
        for source in data_sources(cfg, ['test', 'val']):
            return source.meta
    # Predicting needs no data set: names are invented in place of it.
    except (UserError, OSError, TypeError, ValueError):
        pass
    return {}
