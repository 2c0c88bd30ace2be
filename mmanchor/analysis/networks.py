"""Builds the models that are measured: without weights, as they run at test time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from ..engine.checkpoints import TRAINING_ONLY
from ..utils.config import building, toolbox
from ..utils.errors import UserError, in_one_line

FORMS = ('deploy', 'training')
# Batch statistics do not need larger images than this, in pixels.
_LARGEST_SIDE = 256


def build_test_model(cfg: Config) -> nn.Module:
    """Build a config's model as it runs at test time, without weights.

    Args:
        cfg: A config of mmseg, mmdet or mmpretrain.

    Returns:
        The model in evaluation mode, without its training-only heads.

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
            f'the model of {cfg.filename} is a two-stage detector ({type(model).__name__}): its '
            'cost depends on how many proposals its first stage finds, not only on the image '
            'size. Use a one-stage detector, such as RTMDet or PicoDet'
        )
    for name in TRAINING_ONLY:
        if getattr(model, name, None) is not None:
            setattr(model, name, None)
    return model.eval()


def switch_to_deploy(model: nn.Module) -> int:
    """Fuse every part of a model that has a deploy form, in place.

    Args:
        model: Any model.

    Returns:
        Number of parts that were fused.
    """
    parts = [module for module in model.modules() if hasattr(module, 'switch_to_deploy')]
    for part in parts:
        part.switch_to_deploy()
    return len(parts)


@contextmanager
def errors_only() -> Iterator[None]:
    """Silence MMEngine's logger, which reports how a model is built."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class Network(nn.Module):
    """A model from normalized images to raw outputs, without the steps around it.

    Loading, resizing and normalizing images is left out, and so is what
    follows the network: decoding boxes, NMS, resizing masks, softmax.

    Args:
        model: A detector, segmentor or classifier.

    Attributes:
        form: 'training', or 'deploy' once the model is fused.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.form = 'training'

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> the tensors that the model gives for ``mode='tensor'``."""
        return tuple(tree_leaves(self.model(images, mode='tensor')))


def build_network(cfg: Config, size: tuple[int, int], form: str = 'deploy') -> Network:
    """Build a config's network with random weights, for timing and for export.

    Weights are initialized as for training, and nothing is downloaded.
    Weights that start at zero, as in some classifiers, are drawn too, and
    batch norms take their statistics from noise: outputs that are zero, or
    fade from layer to layer, could not be compared between engines.

    Args:
        cfg: A config of mmdet, mmseg or mmpretrain; it is not changed.
        size: (H, W) of the images, in pixels.
        form: 'training', or 'deploy' for models that have this form.

    Returns:
        The network in evaluation mode.

    Raises:
        UserError: If the config cannot be built, or its model does not take
            images of this size, or not images alone.
        ValueError: If ``form`` is neither.
    """
    if form not in FORMS:
        raise ValueError(f'form must be one of {FORMS}, got {form!r}')
    cfg = Config(without_checkpoints(cfg.to_dict()), filename=cfg.filename)
    with errors_only():
        network = Network(build_test_model(cfg))
        network.model.init_weights()
    network.eval()
    tried = size
    if toolbox(cfg) != 'mmpretrain':  # classifiers may take one size only
        tried = tuple(min(side, _LARGEST_SIDE) for side in size)
    try:
        _settle(network, torch.randn(2, 3, *tried))
    # Models reject a size by asserts, or fail in many other ways.
    except Exception as error:
        raise UserError(
            f'the network of {cfg.filename} does not run on images alone, tried at '
            f'{tried[0]} x {tried[1]} pixels: {in_one_line(error)}'
        ) from error
    if form == 'deploy' and switch_to_deploy(network):
        network.form = form
    return network


@torch.no_grad()
def _settle(network: nn.Module, images: Tensor) -> None:
    """Make outputs for ``images`` neither zero nor very small."""
    for weight in network.parameters():
        if weight.dim() > 1 and not weight.any():
            nn.init.normal_(weight, std=0.02)
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average of all batches, here of one
        norm.train()
    network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


@torch.no_grad()
def segment(model: nn.Module, images: Tensor) -> Any:
    """Run a segmentor's whole test on normalized images.

    Logits are resized to the images and the best class is taken, as in
    mmseg's ``inference_model``.

    Args:
        model: A segmentor of mmseg, in evaluation mode.
        images: (B, 3, H, W).

    Returns:
        Samples with logits and masks.
    """
    from mmseg.structures import SegDataSample

    shape = tuple(images.shape[2:])
    metainfo = dict(ori_shape=shape, img_shape=shape, pad_shape=shape)
    samples = [SegDataSample(metainfo=metainfo) for _ in images]
    return model.predict(images, samples)


def without_checkpoints(node: Any) -> Any:
    """Remove the checkpoints that parts of a model would start from.

    Args:
        node: A plain dict, as from ``Config.to_dict``, or a value in one.

    Example:
        >>> without_checkpoints(
        ...     dict(depth=18, init_cfg=dict(type='Pretrained', checkpoint='resnet18.pth'))
        ... )
        {'depth': 18, 'init_cfg': None}
    """
    if isinstance(node, list):
        return [without_checkpoints(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {key: without_checkpoints(value) for key, value in node.items() if key != 'pretrained'}
    init = kept.get('init_cfg')
    inits = init if isinstance(init, list) else [init] if init else []
    drawn = [each for each in inits if each.get('type') != 'Pretrained']
    if len(drawn) < len(inits):
        kept['init_cfg'] = drawn or None
    return kept
