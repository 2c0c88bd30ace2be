"""Losses that parts of a model have of their own join the model's losses."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor

from ...registry import HOOKS
from ...utils.errors import UserError


@HOOKS.register_module()
class AuxiliaryLossHook(Hook):
    """Adds what ``auxiliary_losses()`` of a model's parts gives.

    Backbones return features, so that a classifier, a segmentor and a
    detector know nothing of a loss that a backbone has, such as
    ``mmanchor.Sparsifiner``'s. While training runs, this hook stands in
    ``parse_losses``, which all models have from MMEngine, and adds the losses
    under the part's name, such as ``backbone.loss_reconstruction``.
    """

    def before_train(self, runner) -> None:
        """Step into ``parse_losses``.

        Raises:
            UserError: If no part of the model has such losses.
        """
        model = runner.model
        self._model = model.module if is_model_wrapper(model) else model
        self._parts = {
            name: part
            for name, part in self._model.named_modules()
            if hasattr(part, 'auxiliary_losses')
        }
        if not self._parts:
            raise UserError(
                'mmanchor.AuxiliaryLossHook has nothing to add: no part of '
                f'the {type(self._model).__name__} has auxiliary_losses(); '
                'take it off custom_hooks'
            )
        self._parse = self._model.parse_losses
        self._model.parse_losses = self._parse_all

    def after_train(self, runner) -> None:
        """Step out again."""
        # The instance's attribute hid the method of its class.
        del self._model.parse_losses

    def _parse_all(self, losses: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        losses = dict(losses)
        for name, part in self._parts.items():
            for key, value in part.auxiliary_losses().items():
                losses[f'{name}.{key}' if name else key] = value
        return self._parse(losses)
