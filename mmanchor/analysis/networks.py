"""The part of a config's model that is timed: its network alone."""

from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from ..utils.config import toolbox
from ..utils.errors import UserError, in_one_line
from .complexity import build_test_model, errors_only, switch_to_deploy

FORMS = ('deploy', 'training')
# What `mode='tensor'` of each toolbox runs.
TIMED = {
    'mmdet': 'backbone, neck and head, to the raw maps of classes and boxes',
    'mmseg': 'backbone, neck and decode head, to logits at the resolution of the head',
    'mmpretrain': 'backbone, neck and head, to the logits of the classes',
}
# Statistics of normalisations need no more than this, in pixels.
_LARGEST_SIDE = 256


class Network(nn.Module):
    """A model from normalised images to raw outputs, as flat as engines need.

    Reading, resizing and normalising images is left out, and so are what
    follows the network: decoding of boxes, NMS, resizing of masks, softmax.

    Args:
        model: A detector, segmentor or classifier.

    Attributes:
        form: ``'training'``, or ``'deploy'`` once the model is switched.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.form = 'training'

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> the tensors of the model's ``mode='tensor'``."""
        return tuple(tree_leaves(self.model(images, mode='tensor')))


def build_network(cfg: Config, size: tuple[int, int], form: str = 'deploy') -> Network:
    """Build a config's network to be timed, with random weights.

    The weights are drawn as for training, nothing is downloaded. But those
    that start at zero, as some classifiers' do, are drawn too, and batch
    normalisations take their statistics from noise: with those of a new
    layer, maps would fade from layer to layer. No engine's result could be
    checked by zeros.

    Args:
        cfg: A config of mmdet, mmseg or mmpretrain; it is not changed.
        size: (H, W) of the images, in pixels.
        form: ``'training'``, or ``'deploy'`` for models that have this form.

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
    if toolbox(cfg) != 'mmpretrain':  # classifiers may know one size only
        tried = tuple(min(side, _LARGEST_SIDE) for side in size)
    try:
        _settle(network, torch.randn(2, 3, *tried))
    # Models assert their sizes, or fail by them, in many ways.
    except Exception as error:
        raise UserError(
            f'the network of {cfg.filename} does not run on '
            f'images alone, tried at {tried[0]} x {tried[1]} '
            f'pixels: {in_one_line(error)}'
        ) from error
    if form == 'deploy' and switch_to_deploy(network):
        network.form = form
    return network


@torch.no_grad()
def segment(model: nn.Module, images: Tensor) -> Any:
    """Everything that a segmentor's test does with normalised images.

    Logits are resized to the images and the likeliest class is taken, as
    mmseg's ``inference_model`` has it.

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
    """Leave out the checkpoints that parts of a model would start from.

    Args:
        node: A plain dict, as ``Config.to_dict`` gives it, or what is in one.

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


@torch.no_grad()
def _settle(network: nn.Module, images: Tensor) -> None:
    """Let outputs for ``images`` be neither zero nor very small."""
    for weight in network.parameters():
        if weight.dim() > 1 and not weight.any():
            nn.init.normal_(weight, std=0.02)
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average of all batches: this one
        norm.train()
    network(images)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
        norm.eval()
