"""Weights that a run loads are those of its model."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from ...utils.errors import UserError
from ..checkpoints import load_weights, plain_weights, require_dict, some_of

# Below this share of fitting weights the file is taken for a wrong one.
LEAST_SHARE = 0.1


class WeightsGuard(Hook):
    """Refuses a checkpoint of another model, for resuming and testing.

    Args:
        source: The file, for messages.
        optional: Prefixes of weights that need not be in the checkpoint.
    """

    # After hooks that rearrange the checkpoint, as EMAHook does.
    priority = 'LOWEST'

    def __init__(self, source: str, optional: Sequence[str] = ()) -> None:
        self.source = source
        self.optional = tuple(optional)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Try the weights before MMEngine loads them."""
        require_dict(checkpoint, self.source)
        if 'state_dict' not in checkpoint:
            checkpoint = dict(state_dict=checkpoint)
        unknown = load_weights(runner.model, checkpoint, self.source, self.optional)
        if unknown:
            runner.logger.warning(
                f'{len(unknown)} weights of {self.source} are not used{some_of(unknown)}'
            )


class StartWeightsHook(Hook):
    """Says in one line what of ``load_from`` fits the model, and loads that.

    MMEngine prints the names of all weights that do not fit, several times,
    and trains from random weights if none does.

    Args:
        source: The file, for messages.
    """

    # Before EMAHook, which copies the weights.
    priority = 'VERY_HIGH'

    def __init__(self, source: str) -> None:
        self.source = source

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Leave only what fits in the checkpoint.

        Raises:
            UserError: If almost nothing fits.
        """
        require_dict(checkpoint, self.source)
        model: nn.Module = runner.model.module if is_model_wrapper(runner.model) else runner.model
        own = model.state_dict()
        given = plain_weights(checkpoint.get('state_dict', checkpoint), self.source)
        other = [name for name in given if name in own and given[name].shape != own[name].shape]
        fitting = {name: given[name] for name in own if name in given and name not in other}
        kept = _kept_boxes(model, {name: given[name] for name in other}, own)
        other = [name for name in other if name not in kept]
        fitting.update(kept)
        unknown = [name for name in given if name not in own]
        message = f'load_from: loaded {len(fitting)} of {len(own)} weights from {self.source}'
        if kept:
            message += f'; other classes, new, and box channels, kept: {len(kept)}{some_of(kept)}'
        if other:
            message += f'; other shape: {len(other)}{some_of(other)}'
        if unknown:
            message += f'; not in the model: {len(unknown)}{some_of(unknown)}'
        if len(fitting) < LEAST_SHARE * len(own):
            raise UserError(
                f'{message}. Almost nothing fits: give a checkpoint of this model, or its '
                "backbone by model.backbone.init_cfg=dict(type='Pretrained', checkpoint=..., "
                "prefix='backbone.')"
            )
        runner.logger.info(message)
        # With the model's own weights for the others MMEngine finds nothing to say.
        checkpoint['state_dict'] = {**own, **fitting}


def _kept_boxes(
    model: nn.Module, other: dict[str, Tensor], own: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Weights of heads that hold classes and boxes, with the boxes of the file."""
    kept = {}
    for prefix, module in model.named_modules():
        if not hasattr(module, 'keep_boxes'):
            continue
        for name, value in other.items():
            if name.startswith(f'{prefix}.'):
                weight = module.keep_boxes(name[len(prefix) + 1 :], value, own[name])
                kept.update({} if weight is None else {name: weight})
    return kept
