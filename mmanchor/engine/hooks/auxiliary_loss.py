"""Add the auxiliary losses of a model's parts to the training losses."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from ...registry import HOOKS
from ...utils.auxiliary_losses import add_auxiliary_losses
from ...utils.errors import UserError


@HOOKS.register_module()
class AuxiliaryLossHook(Hook):
    """Trains what ``auxiliary_losses()`` of a model's parts is for.

    While training runs, the losses of the model include those of its parts
    (see :func:`~mmanchor.utils.auxiliary_losses.add_auxiliary_losses`). A
    config may write ``custom_hooks=[dict(type='mmanchor.AuxiliaryLossHook')]``
    or wrap its model by :func:`mmanchor.WithAuxiliaryLosses`: the result is
    the same.
    """

    def before_train(self, runner) -> None:
        """Start adding the losses.

        Raises:
            UserError: If no part of the model has such losses.
        """
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        try:
            self._handle = add_auxiliary_losses(model)
        except ValueError as error:
            raise UserError(
                f'mmanchor.AuxiliaryLossHook has nothing to add: {error}; '
                'remove it from custom_hooks'
            ) from None

    def after_train(self, runner) -> None:
        """Stop adding the losses."""
        self._handle.remove()
