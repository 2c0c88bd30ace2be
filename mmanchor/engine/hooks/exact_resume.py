"""A resumed run that equals one that was never stopped."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import BatchSampler, DataLoader

from ...registry import HOOKS
from ...utils.seeding import mix_seed, seed_cpu
from ..samplers import SeededSampler


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make randomness a function of seed, rank and iteration.

    MMEngine keeps no state of random generators in its checkpoints, so
    dropout and augmentation of a resumed run differ. Here every iteration is
    seeded, which needs no state at all. With
    :class:`~mmanchor.engine.samplers.SeededSampler` the data follow: batches
    that were used already are skipped without being loaded, also inside an
    epoch. With gradient accumulation each process's unfinished sum is saved
    too.

    It holds on one machine with deterministic operators (on a CPU they are),
    for the same number of processes and batch size, and for transforms and
    models that keep no state between iterations, such as the cache of Mosaic.
    Where it cannot hold, a resumed run says so.

    Args:
        enable: ``False`` leaves sampling and seeds to MMEngine.
    """

    # Before other hooks draw random numbers.
    priority = 'VERY_HIGH'

    def __init__(self, enable: bool = True) -> None:
        self.enable = enable
        # Unfinished sums: all processes' to save, and this one's to go on with.
        self._parts: list[dict[str, torch.Tensor]] = []
        self._gradients: dict[str, torch.Tensor] = {}

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Note what a run must share to go on equally."""
        if not self.enable or 'optimizer' not in checkpoint:
            return
        checkpoint['meta'].update(_conditions(runner))
        if _unfinished(runner):
            checkpoint['gradients'] = self._parts or [_gradients(runner)]

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare the conditions, and keep the unfinished gradients."""
        if not self.enable or not runner._resume:
            return
        self._gradients = _own_part(checkpoint.get('gradients'), runner)
        meta = checkpoint.get('meta')
        meta = meta if isinstance(meta, dict) else {}
        changed = [
            f'{name} is {now} and was {meta[name]}'
            for name, now in _conditions(runner).items()
            if meta.get(name, now) != now
        ]
        if changed:
            runner.logger.warning(
                f'{"; ".join(changed)}: the resumed run goes on, but does not equal one that was '
                'never stopped'
            )

    def before_train(self, runner) -> None:
        """Go to the batch at which training continues."""
        if not self.enable:
            return
        self._restore_gradients(runner)
        if runner.world_size > 1:
            self._save_together(runner)
        loop = runner.train_loop
        sampler = _seeded_sampler(loop.dataloader)
        if sampler is None or not runner.iter:
            return
        if isinstance(loop, IterBasedTrainLoop):
            _skip_iterations(runner, sampler)
        else:
            _skip_in_epoch(runner, sampler)

    def before_train_iter(
        self, runner, batch_idx: int, data_batch: Sequence[dict] | None = None
    ) -> None:
        """Seed what the model draws in this iteration."""
        if not self.enable:
            return
        seed = mix_seed(runner.seed, runner.rank, runner.iter, 1)
        seed_cpu(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed(seed)

    def _save_together(self, runner) -> None:
        """Collect the gradients of all processes before one of them saves.

        MMEngine calls :meth:`before_save_checkpoint` in the main process only.
        """
        save = runner.save_checkpoint

        def collect_and_save(*args, **kwargs) -> None:
            self._parts = all_gather_object(_gradients(runner)) if _unfinished(runner) else []
            save(*args, **kwargs)
            self._parts = []

        runner.save_checkpoint = collect_and_save

    def _restore_gradients(self, runner) -> None:
        if not _unfinished(runner):
            return
        if not self._gradients:
            runner.logger.warning(
                f'iteration {runner.iter} is inside a sum of '
                f'{runner.optim_wrapper._accumulative_counts} gradients '
                '(optim_wrapper.accumulative_counts), which this checkpoint does not hold: the '
                'resumed run does not equal one that was never stopped. Save at multiples of it'
            )
            return
        for name, each in _unwrapped(runner).named_parameters():
            if name in self._gradients and self._gradients[name].shape == each.shape:
                each.grad = self._gradients[name].to(each.device, each.dtype)
        self._gradients = {}
        runner.logger.info('the unfinished sum of gradients was restored')


def _gradients(runner) -> dict[str, torch.Tensor]:
    """The gradients of this process."""
    return {
        name: each.grad.cpu()
        for name, each in _unwrapped(runner).named_parameters()
        if each.grad is not None
    }


def _own_part(parts: Any, runner) -> dict[str, torch.Tensor]:
    """The gradients that this process saved; a checkpoint may hold anything."""
    if isinstance(parts, dict):  # of a version that saved one process's only
        parts = [parts]
    if not isinstance(parts, list) or len(parts) != runner.world_size:
        return {}
    own = parts[runner.rank] if isinstance(parts[runner.rank], dict) else {}
    return {name: each for name, each in own.items() if isinstance(each, torch.Tensor)}


def _unwrapped(runner) -> torch.nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _unfinished(runner) -> bool:
    """Whether gradients are summed up that no step has used yet."""
    wrapper = runner.optim_wrapper
    counts = getattr(wrapper, '_accumulative_counts', 1)
    return counts > 1 and wrapper._inner_count % counts != 0


def _conditions(runner) -> dict[str, int]:
    """What has to stay the same for a resumed run to be equal."""
    loader = runner.train_dataloader
    return dict(
        num_processes=runner.world_size,
        batch_size=loader.batch_size or 0,
        num_samples=len(loader.dataset),
        accumulative_counts=getattr(runner.optim_wrapper, '_accumulative_counts', 1),
    )


def _seeded_sampler(dataloader: DataLoader) -> SeededSampler | None:
    """The sampler of a dataloader, if it is one of ours."""
    sampler = getattr(dataloader.batch_sampler, 'sampler', None)
    return sampler if isinstance(sampler, SeededSampler) else None


def _skip_iterations(runner, sampler: SeededSampler) -> None:
    # A run without a seed in its config resumes with the checkpoint's, but
    # MMEngine built the dataloader before it knew that.
    loop = runner.train_loop
    loader = loop.dataloader
    if sampler.is_infinite and type(loader.batch_sampler) is BatchSampler:
        sampler.restart(runner.seed, runner.iter * loader.batch_size)
        # The fork of MMEngine asks the iterator how far to skip in one
        # call, the original by taking batches.
        in_one = hasattr(loop.dataloader_iterator, 'skip_iter')
        loop.dataloader_iterator = _SkipAhead(loader, 0 if in_one else runner.iter)
    else:
        sampler.restart(runner.seed)
        loop.dataloader_iterator = type(loop.dataloader_iterator)(loader)


def _skip_in_epoch(runner, sampler: SeededSampler) -> None:
    loader = runner.train_loop.dataloader
    sampler.restart(runner.seed)
    done = runner.iter - runner.epoch * len(loader)
    # All of them are done if the run was saved after the last one: then only
    # what ends an epoch is left.
    if 0 < done <= len(loader):
        # Not by an assignment, which DataLoader forbids for all of training.
        vars(loader)['batch_sampler'] = _SkipBatches(loader.batch_sampler, done)
        runner.logger.info(f'epoch {runner.epoch + 1} goes on after its first {done} batches')
    elif done:
        runner.logger.warning(
            f'epoch {runner.epoch} had another number of iterations than the {len(loader)} of now: '
            'the resumed run does not equal one that was never stopped'
        )


class _SkipBatches:
    """A batch sampler that leaves out the first batches of its first pass.

    Args:
        batches: The batch sampler.
        number: How many to leave out.
    """

    def __init__(self, batches: Any, number: int) -> None:
        self._batches = batches
        self._number = number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        number, self._number = self._number, 0
        return islice(iter(self._batches), number, None)


class _SkipAhead:
    """Batches of a dataloader, after some steps that load nothing.

    MMEngine's loop takes as many batches as were trained on already; the
    sampler has skipped them.
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
