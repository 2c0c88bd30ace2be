"""Training stops when the loss becomes NaN or Inf."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from ...registry import HOOKS
from ...utils.errors import UserError
from ..checkpoints import latest_checkpoint


@HOOKS.register_module()
class StopOnNanHook(Hook):
    """Stops before a loss or gradient that is not finite spoils the weights.

    The loss is looked at after the backward pass, when the gradients show
    where the trouble is, and before the optimizer's step; that waits for the
    device once per iteration. With a loss scaler (``AmpOptimWrapper``) only
    the loss counts, as the scaler leaves out steps whose gradients overflow.
    No checkpoint is written any more, so the last one is a good one.
    """

    def before_train(self, runner) -> None:
        """Wrap the backward pass."""
        self._runner = runner
        self._losses: dict[str, Any] = {}
        self._files: list[str] = []
        model = runner.model
        self._model = model.module if is_model_wrapper(model) else model
        self._handle = self._model.register_forward_hook(self._note_losses)
        self._wrapper = runner.optim_wrapper
        self._backward = self._wrapper.backward
        self._wrapper.backward = self._guarded_backward

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Note the files of the batch."""
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        self._files = [str(each.get('img_path', '?')) for each in samples or ()]

    def after_train(self, runner) -> None:
        """Restore the optimizer wrapper and the model."""
        self._handle.remove()
        # The instance's attribute hid the method of its class.
        del self._wrapper.backward

    def _note_losses(self, model: nn.Module, args: tuple, output: Any) -> None:
        if isinstance(output, dict):
            self._losses = output

    def _guarded_backward(self, loss: Tensor, **kwargs: Any) -> None:
        """``backward`` of the optimizer wrapper, then a look at the result.

        Raises:
            UserError: If the loss, or without a loss scaler a gradient, is
                not finite.
        """
        self._backward(loss, **kwargs)
        values = [loss.detach().float()]
        if not hasattr(self._wrapper, 'loss_scaler'):
            values += [
                torch.linalg.vector_norm(each.grad, dtype=torch.float32).to(loss.device)
                for each in self._model.parameters()
                if each.grad is not None
            ]
        if not torch.stack(values).isfinite().all():
            message = self._message(loss)
            self.after_train(self._runner)
            raise UserError(message)

    @torch.no_grad()
    def _message(self, loss: Tensor) -> str:
        """What happened, where, and what to go on with."""
        runner = self._runner
        last = latest_checkpoint(runner.work_dir)
        terms = ', '.join(
            f'{name} {_sum(value):.4g}' for name, value in self._losses.items() if 'loss' in name
        )
        what = 'gradient' if loss.isfinite() else 'loss'
        lines = [
            f'the {what} is not finite in iteration {runner.iter + 1} (epoch '
            f'{runner.epoch + 1}); training stopped before the weights were '
            'changed',
            f'loss: {loss.item():.4g} ({terms})',
            f'largest gradient: {_largest_gradient(self._model)}',
            f'files of the batch: {", ".join(self._files)}',
            f'last checkpoint: {last or "none was saved yet"}',
            'Check the annotations of these files (`mmanchor check-data`), or '
            'lower the learning rate.',
        ]
        return '\n'.join(lines)


def _sum(value: Any) -> float:
    """A loss term as a number; mmdet's may be a list of tensors."""
    parts: Sequence[Tensor] = value if isinstance(value, (list, tuple)) else [value]
    return sum(part.float().mean().item() for part in parts)


def _largest_gradient(model: nn.Module) -> str:
    """The first parameter whose gradient is not finite, or the largest."""
    sizes = {
        name: each.grad.abs().max().item()
        for name, each in model.named_parameters()
        if each.grad is not None and each.grad.numel()
    }
    if not sizes:
        return 'no parameter has a gradient'
    broken = [name for name in sizes if not math.isfinite(sizes[name])]
    name = broken[0] if broken else max(sizes, key=sizes.get)
    found = f'{sizes[name]:.4g} of {name}'
    if broken:
        found += (
            f', the first of {len(broken)} parameters (of {len(sizes)}) '
            'whose gradient is not finite'
        )
    return found
