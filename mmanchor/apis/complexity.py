"""Parameters and multiply-adds of a config's model at test time."""
import logging
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Iterator, List, Tuple

import torch
from mmengine.analysis import FlopAnalyzer, parameter_count
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from .config import building, toolbox
from .errors import UserError
from .weights import TRAINING_ONLY


@dataclass
class Complexity:
    """What a model costs at one input size.

    Args:
        params: Number of parameters.
        macs: Number of multiply-adds for one image; what papers mostly call
            FLOPs.
    """
    params: int
    macs: int


def build_test_model(cfg: Config) -> nn.Module:
    """Build a config's model as it runs at test time, without weights.

    Args:
        cfg: A config of mmseg, mmdet or mmpretrain.

    Returns:
        The model in evaluation mode, its training-only heads taken off.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model_cfg = cfg.model.copy()
    model_cfg.pop('pretrained', None)
    with building(cfg):
        model = revert_sync_batchnorm(MODELS.build(model_cfg))
    for name in TRAINING_ONLY:
        if getattr(model, name, None) is not None:
            setattr(model, name, None)
    return model.eval()


def count_complexity(model: nn.Module, size: Tuple[int, int]) -> Complexity:
    """Count a model's parameters and multiply-adds by MMEngine's counter.

    The counter knows matrix products, convolutions, norms and resizing. The
    products inside ``scaled_dot_product_attention``, which it would take as
    free, are counted too, and so are those of ``embedding_bag`` and of
    Sparsifiner's gathered pairs.

    Args:
        model: A model that takes images (1, 3, H, W).
        size: (H, W), in pixels.

    Returns:
        The counts.
    """
    device = next(model.parameters()).device
    with errors_only():
        counter = FlopAnalyzer(model, torch.rand(1, 3, *size, device=device))
        counter.set_op_handle('aten::scaled_dot_product_attention',
                              _count_attention)
        counter.set_op_handle('aten::embedding_bag', _count_bags)
        counter.set_op_handle('prim::PythonOp._PairScores', _count_pairs)
        macs = counter.total()
    return Complexity(params=int(parameter_count(model)['']), macs=int(macs))


def _count_attention(inputs: List[Any], outputs: List[Any]) -> int:
    """Multiply-adds of Q K^T and of its product with V."""
    queries, keys, values = (value.type().sizes() for value in inputs[:3])
    return math.prod(queries[:-1]) * keys[-2] * (queries[-1] + values[-1])


def _count_bags(inputs: List[Any], outputs: List[Any]) -> int:
    """Multiply-adds of weighted sums of a table's rows."""
    table, index = (value.type().sizes() for value in inputs[:2])
    return math.prod(index) * table[-1]


def _count_pairs(inputs: List[Any], outputs: List[Any]) -> int:
    """Multiply-adds of the scores of chosen pairs."""
    queries, _, index = (value.type().sizes() for value in inputs[:3])
    return math.prod(index) * queries[-1]


@contextmanager
def errors_only() -> Iterator[None]:
    """Keep the counter from listing every operator that it takes as free."""
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
    parts = [
        module for module in model.modules()
        if hasattr(module, 'switch_to_deploy')
    ]
    for part in parts:
        part.switch_to_deploy()
    return len(parts)


def complexity_of_forms(cfg: Config, size: Tuple[int, int]) -> dict:
    """Count a config's model in its training form and its deploy form.

    Args:
        cfg: A config.
        size: Height and width of the image, in pixels.

    Returns:
        :class:`Complexity` by form, 'training' and, if there is one,
        'deploy'.

    Raises:
        UserError: If the model cannot take images of this size.
    """
    model = build_test_model(cfg)
    try:
        forms = dict(training=count_complexity(model, size))
        if switch_to_deploy(model):
            forms['deploy'] = count_complexity(model, size)
    except (RuntimeError, ValueError) as error:
        raise UserError(f'the model of {cfg.filename} does not take images of '
                        f'{size[0]} x {size[1]} pixels: {error}') from error
    return forms


def default_size(cfg: Config) -> Tuple[int, int]:
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
    keys = dict(Resize='scale', CenterCrop='crop_size')
    sizes = [
        step[keys[step.type]] for step in cfg.get('test_pipeline') or ()
        if step.get(keys.get(step.type))
    ]
    if not sizes:
        raise UserError(f'the test_pipeline of {cfg.filename} has no Resize '
                        'to a scale and no CenterCrop; give the size by '
                        '--shape')
    scale = sizes[-1]
    width, height = (scale, scale) if isinstance(scale, int) else scale
    return height, width
