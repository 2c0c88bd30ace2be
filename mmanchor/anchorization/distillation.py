"""The whole network learns features and outputs of its teacher."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .alignment import parameter_groups, relative_error
from .stages import Stage, autocast

# What the divergence of the outputs counts beside the mean error of the features.
OUTPUT_WEIGHT = 1.0
# Factor on the learning rate of parameters that the teacher does not have.
NEW_LR = 6.0
# Names of classifiers at the end of a network.
HEADS = ('head', 'heads', 'fc')


class Distill(Stage):
    """Train the network as a whole, where alignment sees one layer at a time.

    The loss is the mean error of the outputs of all blocks, and the
    divergence of the classes' probabilities (of the features, without a
    classifier). The teacher's mistakes are learned too: no labels are needed.

    Args:
        student, teacher, steps, lr: As for :class:`Stage`.
        layers: Names of the attentions that are new.
        blocks: Names of the blocks, in order.
        old_lr: Factor on the learning rate of the weights that were trained.
    """

    name = 'distill'

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        steps: int,
        lr: float,
        layers: Sequence[str],
        blocks: Sequence[str],
        old_lr: float = 1.0,
    ) -> None:
        super().__init__(student, teacher, steps, lr)
        self.layers = list(layers)
        self.old_lr = old_lr
        self.has_classes = any(
            isinstance(getattr(teacher, name, None), nn.Module)
            and not isinstance(getattr(teacher, name), nn.Identity)
            for name in HEADS
        )
        # Blocks before the first new attention give what the teacher's do.
        first = min(list(blocks).index(name.rpartition('.')[0]) for name in self.layers)
        self.blocks = list(blocks)[first:]

    def groups(self) -> list[dict[str, Any]]:
        """All parameters of the network."""
        return parameter_groups(self.student, self.layers, NEW_LR, self.old_lr)

    def backward(self, images: Tensor, amp: bool) -> dict[str, float]:
        """One pass through both networks."""
        with torch.no_grad(), autocast(images, amp), _outputs(self.teacher, self.blocks) as wanted:
            classes = _last(self.teacher(images))
        with autocast(images, amp), _outputs(self.student, self.blocks) as features:
            scores = _last(self.student(images))
        errors = torch.stack([relative_error(features[name], wanted[name]) for name in self.blocks])
        output = self._output_loss(scores.float(), classes.float())
        (errors.mean() + OUTPUT_WEIGHT * output).backward()
        return dict(features=float(errors.mean().detach()), outputs=float(output.detach()))

    def _output_loss(self, scores: Tensor, wanted: Tensor) -> Tensor:
        if not self.has_classes:
            return relative_error(scores, wanted)
        return F.kl_div(
            scores.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction='batchmean'
        )


@contextmanager
def _outputs(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of modules while a model runs."""
    outputs: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda _, args, out, name=name: outputs.update({name: out})
        )
        for name in names
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _last(out: Any) -> Tensor:
    """What a model returns, or the last of several."""
    while isinstance(out, (tuple, list)):
        out = out[-1]
    return out
