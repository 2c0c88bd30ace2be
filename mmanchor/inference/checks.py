"""Faults of a config that would stop a test or a prediction after it has begun."""

from typing import Any

from mmengine.config import Config

from ..utils.config import toolbox
from ..utils.errors import UserError


def require_test_cfg(cfg: Config) -> None:
    """Make sure that a segmentor of mmseg knows how to look at an image.

    Args:
        cfg: A config; those of other toolboxes are passed over.

    Raises:
        UserError: If ``model.test_cfg`` has an unknown mode, or slides a window
            without its size or stride.
    """
    test_cfg = cfg.model.get('test_cfg')
    if toolbox(cfg) != 'mmseg' or not isinstance(test_cfg, dict):
        return
    mode = test_cfg.get('mode', 'whole')
    if mode not in ('slide', 'whole'):
        raise UserError(f"model.test_cfg.mode must be 'slide' or 'whole', got {mode!r}")
    if mode == 'whole':
        return
    for name in ('crop_size', 'stride'):
        value = test_cfg.get(name)
        if not _is_size(value):
            raise UserError(
                f"model.test_cfg.mode='slide' needs model.test_cfg.{name}, two whole numbers of "
                f'pixels (height, width), such as (512, 512); got {value!r}'
            )


def require_topk(cfg: Config) -> None:
    """Make sure that a classifier has as many classes as its accuracy asks for.

    Args:
        cfg: A config with ``test_evaluator``.

    Raises:
        UserError: If ``topk`` is larger than the number of classes.
    """
    number = (cfg.model.get('head') or {}).get('num_classes')
    if toolbox(cfg) != 'mmpretrain' or not isinstance(number, int):
        return
    evaluators = cfg.test_evaluator
    for each in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
        topk = each.get('topk', 1) if str(each.get('type')).endswith('Accuracy') else 1
        if max(topk if isinstance(topk, (list, tuple)) else [topk]) > number:
            raise UserError(
                f'test_evaluator.topk={topk} asks for more classes than model.head.num_classes, '
                f'which is {number}; give --cfg-options test_evaluator.topk=1'
            )


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(isinstance(each, int) and each > 0 for each in value)
    )
