"""Training hooks."""

from .auxiliary_loss import AuxiliaryLossHook
from .class_guard import ClassGuard
from .exact_resume import ExactResumeHook
from .progress import ProgressHook
from .restarted_ema import RestartedEMAHook
from .save_drawings import SaveDrawingsHook
from .skipped_images import SkippedImagesHook
from .stop_on_nan import StopOnNanHook
from .weights_guard import StartWeightsHook, WeightsGuard

__all__ = [
    'AuxiliaryLossHook',
    'ClassGuard',
    'ExactResumeHook',
    'ProgressHook',
    'RestartedEMAHook',
    'SaveDrawingsHook',
    'SkippedImagesHook',
    'StartWeightsHook',
    'StopOnNanHook',
    'WeightsGuard',
]
