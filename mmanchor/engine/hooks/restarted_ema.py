"""A moving average of the weights that restarts every few epochs."""

from typing import Any

import torch
from mmengine.hooks import EMAHook
from mmengine.runner import EpochBasedTrainLoop

from ...registry import HOOKS


@HOOKS.register_module()
class RestartedEMAHook(EMAHook):
    """MMEngine's ``EMAHook`` that forgets its past every some epochs.

    PaddleDetection trains PicoDet so (``cycle_epoch``). With
    ``ema_type='MomentumAnnealingEMA', momentum=0.0002, gamma=9,
    update_buffers=True`` the average is PaddleDetection's too: its decay is
    ``min(0.9998, (1 + n) / (10 + n))`` after n updates of its start, and it
    averages the statistics of batch norm as well. PaddleDetection starts a
    cycle from zeros and divides by the sum of the weights afterwards, where
    MMEngine starts from the weights of the first iteration.

    A cycle is counted in epochs of the whole training and restarted before
    its first iteration, after the last one was validated and saved: a
    resumed run restarts when one that was never stopped does.

    Args:
        restart_interval: Epochs of a cycle, >= 1.
        kwargs: Arguments of ``EMAHook``.
    """

    def __init__(self, restart_interval: int, **kwargs: Any) -> None:
        if restart_interval < 1:
            raise ValueError(f'restart_interval must be at least one epoch, got {restart_interval}')
        super().__init__(**kwargs)
        self.restart_interval = restart_interval

    def before_train(self, runner) -> None:
        """Check that the training has epochs."""
        super().before_train(runner)
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                'RestartedEMAHook counts epochs, so train_cfg.type must be '
                'EpochBasedTrainLoop; use EMAHook to train by iterations'
            )

    @torch.no_grad()
    def before_train_epoch(self, runner) -> None:
        """Start the average from the current weights if a cycle is over."""
        if not runner.epoch or runner.epoch % self.restart_interval:
            return
        weights = self.src_model.state_dict()
        for name, average in self.ema_model.module.state_dict().items():
            average.copy_(weights[name])
        self.ema_model.steps.zero_()
