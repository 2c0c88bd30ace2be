"""A resumed run that equals one that was never stopped."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from ...registry import HOOKS
from ...utils.seeding import mix_seed, seed_cpu
from ..samplers import SeededSampler


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make randomness a function of seed, rank and iteration.

    MMEngine keeps no state of random generators in its checkpoints, so
    dropout and augmentation of a resumed run differ. Here every iteration is
    seeded anew, which needs no state at all. With :class:`SeededSampler` the
    data follow: for an endless sampler the batches already used are passed
    over without being loaded, where MMEngine loads them all once more.

    Transforms and models that keep a state of their own between iterations,
    such as a cache of Mosaic, are not repeated.
    """

    # Before other hooks draw random numbers.
    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        """Move the sampler to where training continues."""
        loop = runner.train_loop
        sampler = _seeded_sampler(loop.dataloader)
        if sampler is None or not runner.iter:
            return
        # A run without a seed in its config resumes with the checkpoint's,
        # but MMEngine built the dataloader before it knew that.
        by_iter = isinstance(loop, IterBasedTrainLoop)
        batch_size = loop.dataloader.batch_size
        if by_iter and sampler.is_infinite and batch_size:
            sampler.restart(runner.seed, runner.iter * batch_size)
            # The fork of MMEngine tells the iterator how far to skip in one
            # call, the original by taking batches.
            in_one = hasattr(loop.dataloader_iterator, 'skip_iter')
            loop.dataloader_iterator = _SkipAhead(loop.dataloader, 0 if in_one else runner.iter)
        else:
            sampler.restart(runner.seed)
            if by_iter:
                loop.dataloader_iterator = type(loop.dataloader_iterator)(loop.dataloader)

    def before_train_iter(
        self, runner, batch_idx: int, data_batch: Sequence[dict] | None = None
    ) -> None:
        """Seed what the model draws in this iteration."""
        seed = mix_seed(runner.seed, runner.rank, runner.iter, 1)
        seed_cpu(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed(seed)


def _seeded_sampler(dataloader: DataLoader) -> SeededSampler | None:
    """The sampler of a dataloader, if it is one of ours."""
    sampler = getattr(dataloader.batch_sampler, 'sampler', None)
    return sampler if isinstance(sampler, SeededSampler) else None


class _SkipAhead:
    """Batches of a dataloader, after some steps that load nothing.

    MMEngine's loop takes as many batches as were trained on already; the
    sampler has passed over them.
    """

    def __init__(self, dataloader: DataLoader, steps: int) -> None:
        self._batches = iter(dataloader)
        self._steps = steps

    def skip_iter(self, steps: int) -> None:
        """Skip nothing more."""

    def __next__(self) -> Any:
        if self._steps:
            self._steps -= 1
            return None
        return next(self._batches)
