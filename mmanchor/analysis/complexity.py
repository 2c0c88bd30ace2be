"""Parameters and multiply-adds of a config's model at test time."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from ..engine.checkpoints import TRAINING_ONLY
from ..utils.config import building, toolbox
from ..utils.errors import UserError, in_one_line
from .mac_counter import count_macs

T = TypeVar('T')


@dataclass
class Complexity:
    """What a model costs at one input size.

    Args:
        params: Number of parameters.
        macs: Number of multiply-adds for one image; what papers mostly call
            FLOPs.
        uncounted: Operators, if any, that multiply or may, and of which
            nobody told how much; ``macs`` lacks them.
    """

    params: int
    macs: int
    uncounted: tuple[str, ...] = ()


@dataclass
class ModuleCost:
    """What one module costs, without those that are listed beside it.

    Args:
        name: As in ``named_modules``; '' is the model itself.
        params: Number of parameters.
        macs: Number of multiply-adds for one image.
    """

    name: str
    params: int
    macs: int


def build_test_model(cfg: Config) -> nn.Module:
    """Build a config's model as it runs at test time, without weights.

    Args:
        cfg: A config of mmseg, mmdet or mmpretrain.

    Returns:
        The model in evaluation mode, its training-only heads taken off.

    Raises:
        UserError: If it is a two-stage detector, which does not run on images
            alone.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model_cfg = cfg.model.copy()
    model_cfg.pop('pretrained', None)
    with building(cfg):
        model = revert_sync_batchnorm(MODELS.build(model_cfg))
    if getattr(model, 'with_roi_head', False):
        raise UserError(
            f'the model of {cfg.filename} is a two-stage detector '
            f'({type(model).__name__}): what its second stage does depends on '
            'what the first finds, and not on the size of images alone. Give '
            'a one-stage detector, such as RTMDet or PicoDet'
        )
    for name in TRAINING_ONLY:
        if getattr(model, name, None) is not None:
            setattr(model, name, None)
    return model.eval()


def count_complexity(model: nn.Module, size: tuple[int, int]) -> Complexity:
    """Count a model's parameters and multiply-adds.

    Attention counts whichever way it is computed; see
    :func:`~mmanchor.analysis.mac_counter.count_macs`.

    Args:
        model: A model that takes images (1, 3, H, W).
        size: (H, W), in pixels.

    Returns:
        The counts.
    """
    count = count_macs(model, _image(model, size))
    params = sum(param.numel() for param in model.parameters())
    return Complexity(params, count.total, tuple(sorted(count.uncounted)))


def count_by_module(model: nn.Module, size: tuple[int, int], depth: int) -> list[ModuleCost]:
    """Share a model's parameters and multiply-adds out among its modules.

    Args:
        model: A model that takes images (1, 3, H, W).
        size: (H, W), in pixels.
        depth: How many dots and names deep to go, at least 1; deeper modules
            count with the one that holds them.

    Returns:
        Modules that have or do something, in the model's order. They sum up
        to what :func:`count_complexity` gives.

    Raises:
        ValueError: If ``depth`` is below 1.
    """
    if depth < 1:
        raise ValueError(f'depth must be at least 1, got {depth}')

    def group(name: str) -> str:
        return '.'.join(name.split('.')[:depth])

    count = count_macs(model, _image(model, size))
    params: Counter = Counter()
    for name, param in model.named_parameters():
        params[group(name.rpartition('.')[0])] += param.numel()
    macs: Counter = Counter()
    for name, each in count.by_module.items():
        macs[group(name)] += each
    names = dict.fromkeys(group(name) for name, _ in model.named_modules())
    return [
        ModuleCost(name, params[name], macs[name]) for name in names if params[name] or macs[name]
    ]


def _image(model: nn.Module, size: tuple[int, int]) -> Tensor:
    device = next((param.device for param in model.parameters()), 'cpu')
    return torch.rand(1, 3, *size, device=device)


@contextmanager
def errors_only() -> Iterator[None]:
    """Keep MMEngine's logger from telling how a model is built."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def switch_to_deploy(model: nn.Module) -> int:
    """Bring every part of a model that has a deploy form into it, in place.

    Args:
        model: Any model.

    Returns:
        How many parts were switched.
    """
    parts = [module for module in model.modules() if hasattr(module, 'switch_to_deploy')]
    for part in parts:
        part.switch_to_deploy()
    return len(parts)


def complexity_of_forms(cfg: Config, size: tuple[int, int]) -> dict[str, Complexity]:
    """Count a config's model in its training form and its deploy form.

    Args:
        cfg: A config.
        size: Height and width of the image, in pixels.

    Returns:
        :class:`Complexity` by form: 'training', the training form without
        its training-only heads, and, if there is one, 'deploy'.

    Raises:
        UserError: If the model does not run on images of this size alone.
    """
    return of_forms(cfg, size, count_complexity)


def of_forms(
    cfg: Config, size: tuple[int, int], count: Callable[[nn.Module, tuple[int, int]], T]
) -> dict[str, T]:
    """Count something of a config's model in both of its forms.

    Args:
        cfg: A config.
        size: Height and width of the image, in pixels.
        count: What to count of a model at a size.

    Returns:
        What ``count`` gave by form: 'training', the training form without
        its training-only heads, and, if there is one, 'deploy'.

    Raises:
        UserError: If the model does not run on images of this size alone, as
            two-stage detectors do not.
    """
    model = build_test_model(cfg)
    try:
        forms = dict(training=count(model, size))
        if switch_to_deploy(model):
            forms['deploy'] = count(model, size)
    # Models assert their sizes, or fail by them, in many ways.
    except Exception as error:
        raise UserError(
            f'the model of {cfg.filename} does not run on images '
            f'of {size[0]} x {size[1]} pixels alone: '
            f'{in_one_line(error)}'
        ) from error
    return forms


def default_size(cfg: Config) -> tuple[int, int]:
    """The size at which a config's model is usually counted.

    Args:
        cfg: A config.

    Returns:
        Height and width in pixels: 512 x 2048 for segmentation, as papers
        have it, else the size to which the test pipeline crops or resizes.

    Raises:
        UserError: If the pipeline does not say one.
    """
    if toolbox(cfg) == 'mmseg':
        return 512, 2048
    keys = dict(Resize='scale', CenterCrop='crop_size', EfficientNetCenterCrop='crop_size')
    sizes = [
        step[keys[step.type]]
        for step in cfg.get('test_pipeline') or ()
        if step.get(keys.get(step.type))
    ]
    if not sizes:
        raise UserError(
            f'the test_pipeline of {cfg.filename} has no Resize '
            'to a scale and no CenterCrop; give the size by '
            '--shape'
        )
    scale = sizes[-1]
    width, height = (scale, scale) if isinstance(scale, int) else scale
    return height, width
