"""Any classifier, detector or segmentor, with its backbone's own losses."""

from typing import Any

from torch import nn

from ..registry import MODELS
from ..utils.auxiliary_losses import add_auxiliary_losses


@MODELS.register_module()
def WithAuxiliaryLosses(*, model_type: str, **kwargs: Any) -> nn.Module:
    """Build a model whose losses include those of its parts.

    It is for configs of any toolbox whose backbone learns by a loss of its
    own, such as :class:`mmanchor.Sparsifiner`'s::

        model = dict(
            type='mmanchor.WithAuxiliaryLosses',
            model_type='EncoderDecoder',
            backbone=dict(type='mmanchor.Sparsifiner', ...),
            ...
        )

    The weights have the same names as without it, so that checkpoints fit.

    Args:
        model_type: Type of the model, such as 'EncoderDecoder'.
        **kwargs: Its other arguments.

    Returns:
        The model itself, see
        :func:`~mmanchor.utils.auxiliary_losses.add_auxiliary_losses`.

    Raises:
        ValueError: If no part of the model has ``auxiliary_losses``.
    """
    model = MODELS.build(dict(kwargs, type=model_type))
    add_auxiliary_losses(model)
    return model
