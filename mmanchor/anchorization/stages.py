"""The loop that all stages of training share: steps, progress, resuming."""

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..compat.checkpoints import load_checkpoint
from ..utils.errors import UserError
from ..utils.files import PathLike, replacing
from .views import RandomViews

# Largest norm of the gradients of a step.
MAX_NORM = 5.0
# Of the steps of a stage, those in which the learning rate rises.
WARMUP = 0.03
# Seconds between two writings of the state.
SAVE_EVERY = 60.0
# Called after every step with the stage, the number of steps done and the errors.
AfterStep = Callable[['Stage', int, dict[str, float]], None]


@dataclass
class Recipe:
    """What the stages have in common.

    Args:
        batch_size: Views of a step, in each process.
        seed: Of the views.
        amp: Compute in bfloat16 where autocast does.
        workers: Processes that read images; 0 reads in the process itself.
        state: File that an interrupted run continues from; ``None`` keeps none.

    Raises:
        UserError: If a number is out of its range.
    """

    batch_size: int = 16
    seed: int = 0
    amp: bool = False
    workers: int = 0
    state: PathLike | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.workers < 0:
            raise UserError(
                'batch_size must be at least 1 and workers at least 0, '
                f'got batch_size={self.batch_size} and workers={self.workers}'
            )


class Stage:
    """One stage of training.

    Args:
        student: The model that learns.
        teacher: The model that it learns from.
        steps: Number of steps.
        lr: Highest learning rate, of AdamW with a cosine schedule.
    """

    name: str

    def __init__(self, student: nn.Module, teacher: nn.Module, steps: int, lr: float) -> None:
        if steps < 0 or not lr > 0:
            raise UserError(
                f'{self.name} needs steps of at least 0 and an lr above 0, '
                f'got steps={steps} and lr={lr}'
            )
        self.student, self.teacher, self.steps, self.lr = student, teacher, steps, lr

    @abstractmethod
    def groups(self) -> list[dict[str, Any]]:
        """Parameters that learn, as torch's optimizers take them; ``lr`` is a factor."""

    @abstractmethod
    def backward(self, images: Tensor, amp: bool) -> dict[str, float]:
        """Compute the gradients of a batch; return the errors by name."""


def autocast(images: Tensor, amp: bool) -> AbstractContextManager:
    """Bfloat16 where it is precise enough, if ``amp``."""
    return torch.autocast(images.device.type, torch.bfloat16) if amp else nullcontext()


def run_stages(
    stages: Sequence[Stage],
    views: RandomViews,
    prepare: Callable[[Tensor], Tensor],
    recipe: Recipe,
    after: Iterable[AfterStep] = (),
) -> None:
    """Train through all stages, or what a state file leaves of them.

    Args:
        stages: The stages, of one student.
        views: The images.
        prepare: From views (B, 3, H, W) uint8 to what the models take.
        recipe: Batch size and so on.
        after: Called after each step, in all processes.

    Raises:
        UserError: If the loss is not finite, or the state is of another run.
    """
    digest = [[stage.name, stage.steps, stage.lr] for stage in stages]
    state = _read_state(recipe, digest)
    if not stages:
        return
    flags = {param: param.requires_grad for param in stages[0].student.parameters()}
    try:
        _run_all(stages, state, digest, views, prepare, recipe, after)
    finally:
        for param, flag in flags.items():
            param.requires_grad_(flag)


def _run_all(
    stages: Sequence[Stage],
    state: dict[str, Any] | None,
    digest: list,
    views: RandomViews,
    prepare: Callable[[Tensor], Tensor],
    recipe: Recipe,
    after: Iterable[AfterStep],
) -> None:
    for number, stage in enumerate(stages):
        if state is not None and number < state['stage']:
            continue
        first = 0
        optimizer = _optimizer(stage)
        if state is not None:
            stage.student.load_state_dict(state['student'])
            optimizer.load_state_dict(state['optimizer'])
            first, state = state['step'], None

        def save(step: int, number: int = number, optimizer: Any = optimizer) -> None:
            _write_state(recipe, digest, stages[number], number, step, optimizer)

        _run_stage(stage, first, optimizer, views, prepare, recipe, after, save)


def _run_stage(
    stage: Stage,
    first: int,
    optimizer: torch.optim.Optimizer,
    views: RandomViews,
    prepare: Callable[[Tensor], Tensor],
    recipe: Recipe,
    after: Iterable[AfterStep],
    save: Callable[[int], None],
) -> None:
    params = [param for group in optimizer.param_groups for param in group['params']]
    saved = time.monotonic()
    # Another stage sees other views.
    views.seed = f'{recipe.seed},{stage.name}'
    batches = views.batches(first, stage.steps, recipe.batch_size, recipe.workers, rank_and_world())
    for step, images in enumerate(batches, first):
        for group in optimizer.param_groups:
            group['lr'] = group['factor'] * stage.lr * rate_at(step, stage.steps)
        optimizer.zero_grad()
        errors = stage.backward(prepare(images), recipe.amp)
        _average_gradients(params)
        norm = nn.utils.clip_grad_norm_(params, MAX_NORM)
        if not norm.isfinite():
            raise UserError(
                f'the gradients of {stage.name} are not finite at step {step + 1}; '
                'give a smaller lr, or no amp'
            )
        optimizer.step()
        for call in after:
            call(stage, step + 1, errors)
        if time.monotonic() - saved > SAVE_EVERY:
            save(step + 1)
            saved = time.monotonic()


def rate_at(step: int, steps: int) -> float:
    """Factor on the learning rate: it rises for a few steps, then falls as a cosine.

    Example:
        >>> [round(rate_at(step, 100), 2) for step in (0, 2, 3, 50, 99)]
        [0.33, 1.0, 1.0, 0.52, 0.0]
    """
    rise = max(1, round(WARMUP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 + 0.5 * math.cos(math.pi * (step - rise) / max(steps - rise, 1))


def _optimizer(stage: Stage) -> torch.optim.Optimizer:
    groups = [{'factor': group.pop('lr'), **group} for group in stage.groups()]
    stage.student.requires_grad_(False)
    for group in groups:
        for param in group['params']:
            param.requires_grad_(True)
    return torch.optim.AdamW(groups, lr=stage.lr, weight_decay=0.0)


def rank_and_world() -> tuple[int, int]:
    """Rank of this process, and number of processes that train together."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _average_gradients(params: Sequence[Tensor]) -> None:
    """Average over processes: hooks and stages need no wrapper of the model."""
    world = rank_and_world()[1]
    if world == 1:
        return
    grads = [param.grad for param in params if param.grad is not None]
    flat = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(flat)
    flat /= world
    for grad, part in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(part.view_as(grad))


def _write_state(
    recipe: Recipe,
    digest: list,
    stage: Stage,
    number: int,
    step: int,
    optimizer: torch.optim.Optimizer,
) -> None:
    if recipe.state is None or rank_and_world()[0]:
        return
    state = dict(
        recipe=[digest, recipe.batch_size, recipe.seed, recipe.amp],
        stage=number,
        step=step,
        student=stage.student.state_dict(),
        optimizer=optimizer.state_dict(),
    )
    with replacing(recipe.state) as part:
        torch.save(state, part)


def _read_state(recipe: Recipe, digest: list) -> dict[str, Any] | None:
    if recipe.state is None or not Path(recipe.state).is_file():
        return None
    state = load_checkpoint(recipe.state, 'cpu')
    if not isinstance(state, dict) or 'recipe' not in state:
        raise UserError(f'{recipe.state} is no state of an interrupted run; remove it')
    if state['recipe'] != [digest, recipe.batch_size, recipe.seed, recipe.amp]:
        raise UserError(
            f'{recipe.state} is of a run with other stages, batch size, seed or amp; '
            'give the same options, or remove it'
        )
    return state
