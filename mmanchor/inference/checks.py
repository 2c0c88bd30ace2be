"""Faults of a config that would stop a test or a prediction after it has begun."""

from mmengine.config import Config

from ..data_check.recipe import slide_fault
from ..utils.errors import UserError


def require_test_cfg(cfg: Config) -> None:
    """Make sure that a segmentor of mmseg knows how to look at an image.

    Args:
        cfg: A config; those of other toolboxes are passed over.

    Raises:
        UserError: If ``model.test_cfg`` has an unknown mode, or slides a window
            without its size or stride.
    """
    fault = slide_fault(cfg)
    if fault:
        raise UserError(fault)
