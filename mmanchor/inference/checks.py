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


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(isinstance(each, int) and each > 0 for each in value)
    )
