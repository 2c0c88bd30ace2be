"""Training hooks."""

from .auxiliary_loss import AuxiliaryLossHook
from .exact_resume import ExactResumeHook
from .progress import ProgressHook
from .restarted_ema import RestartedEMAHook
from .skipped_images import SkippedPicturesHook
from .stop_on_nan import StopOnNanHook
from .weights_guard import StartWeightsHook, WeightsGuard

__all__ = [
    'AuxiliaryLossHook',
    'ExactResumeHook',
    'ProgressHook',
    'RestartedEMAHook',
    'SkippedPicturesHook',
    'StartWeightsHook',
    'StopOnNanHook',
    'WeightsGuard',
]
