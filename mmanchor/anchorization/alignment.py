"""Each new attention learns from the one that it replaces."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .stages import Stage, autocast

# Parameters that start at what the teacher has; the others are new.
TRANSFERRED = ('in_proj.', 'proj.', 'gamma1.')
# Factor on the learning rate of the others.
NEW_LR = 20.0


class Align(Stage):
    """Align attentions with a teacher's, each for the teacher's inputs.

    All layers learn at once and apart from each other: mean squared error over
    the variance of the teacher's output, so that 1 is as good as a constant.

    Args:
        student, teacher, steps, lr: As for :class:`Stage`.
        layers: Names of the attentions.
    """

    name = 'align'

    def __init__(
        self, student: nn.Module, teacher: nn.Module, steps: int, lr: float, layers: Sequence[str]
    ) -> None:
        super().__init__(student, teacher, steps, lr)
        self.layers = list(layers)

    def groups(self) -> list[dict[str, Any]]:
        """The new attentions: their projections, and what the teacher does not have."""
        return parameter_groups(self.student, self.layers, NEW_LR, others=False)

    def backward(self, images: Tensor, amp: bool) -> dict[str, float]:
        """One backward pass for each layer, which frees its memory at once."""
        return attention_errors(self.student, self.teacher, self.layers, images, amp, learn=True)


def attention_errors(
    student: nn.Module,
    teacher: nn.Module,
    layers: Sequence[str],
    images: Tensor,
    amp: bool = False,
    learn: bool = False,
) -> dict[str, float]:
    """Relative error of each attention for the teacher's inputs.

    Args:
        student: The model with the new attentions.
        teacher: The model with the old ones, under the same names.
        layers: Names of the attentions.
        images: What the models take.
        amp: Compute in bfloat16 where autocast does.
        learn: Whether to add to the gradients of the new attentions.

    Returns:
        Name -> mean squared error over the variance of the teacher's output.
    """
    losses: dict[str, Tensor] = {}

    def compare(name: str, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
        with torch.set_grad_enabled(learn), autocast(images, amp):
            new = _first(student.get_submodule(name)(*args, **kwargs))
            loss = relative_error(new, _first(out))
            if learn:
                loss.backward()
        losses[name] = loss.detach()

    handles = [
        teacher.get_submodule(name).register_forward_hook(
            lambda _, args, kwargs, out, name=name: compare(name, args, kwargs, out),
            with_kwargs=True,
        )
        for name in layers
    ]
    try:
        with torch.no_grad(), autocast(images, amp):
            teacher(images)
    finally:
        for handle in handles:
            handle.remove()
    return {name: float(loss) for name, loss in losses.items()}


def relative_error(new: Tensor, old: Tensor) -> Tensor:
    """Mean squared error over the variance of what is right, of one number.

    Example:
        >>> relative_error(torch.zeros(4), torch.tensor([-1.0, 1.0, -1.0, 1.0]))
        tensor(1.)
    """
    old = old.float()
    variance = old.var(unbiased=False).clamp_min(torch.finfo(torch.float32).tiny)
    return (new.float() - old).square().mean() / variance


def parameter_groups(
    student: nn.Module, layers: Sequence[str], new: float, old: float = 1.0, others: bool = True
) -> list[dict[str, Any]]:
    """Parameters that learn, with factors on the learning rate.

    Args:
        student: The model with the new attentions.
        layers: Their names.
        new: Factor for parameters that the teacher does not have.
        old: Factor for parameters that start as the teacher's.
        others: Whether what is outside of the new attentions learns too.
    """
    fresh: list[nn.Parameter] = []
    trained: list[nn.Parameter] = []
    for name, param in student.named_parameters():
        inside = [name.removeprefix(f'{each}.') for each in layers if name.startswith(f'{each}.')]
        if inside and not inside[0].startswith(TRANSFERRED):
            fresh.append(param)
        elif inside or others:
            trained.append(param)
    return [dict(params=fresh, lr=new), dict(params=trained, lr=old)]


def _first(out: Any) -> Tensor:
    """The tokens that an attention returns, maybe beside weights."""
    return out[0] if isinstance(out, tuple) else out
