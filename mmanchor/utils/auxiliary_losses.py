"""Losses that parts of a model compute themselves join the model's losses."""

from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle


def add_auxiliary_losses(model: nn.Module) -> RemovableHandle:
    """Let a model return the auxiliary losses of its parts too.

    A backbone returns features. If it has a loss of its own, such as
    ``mmanchor.Sparsifiner``'s, the classifier, detector or segmentor around
    it would not know. After this call the losses that ``model(...,
    mode='loss')`` returns include what ``auxiliary_losses()`` of each part
    returned, under the part's name, such as ``backbone.loss_reconstruction``.
    They are outputs of the model's forward, as DistributedDataParallel needs
    them.

    Args:
        model: A model of MMEngine, not wrapped by DistributedDataParallel.

    Returns:
        A handle; its ``remove()`` ends this.

    Raises:
        ValueError: If no part of the model has ``auxiliary_losses``.
    """
    if not any(hasattr(part, 'auxiliary_losses') for part in model.modules()):
        raise ValueError(f'no part of the {type(model).__name__} has auxiliary_losses()')
    return model.register_forward_hook(_add)


def _add(model: nn.Module, _: Any, output: Any) -> Any:
    """A forward hook. It looks the parts up, as copies of a model keep it."""
    if not model.training or not isinstance(output, dict):
        return output
    output = dict(output)
    for name, part in model.named_modules():
        if hasattr(part, 'auxiliary_losses'):
            for key, value in part.auxiliary_losses().items():
                output[f'{name}.{key}' if name else key] = value
    return output
