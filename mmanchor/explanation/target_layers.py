"""Which layer Grad-CAM looks at, and the map that its output forms."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..utils.errors import UserError
from .token_maps import TokenMap

# First norm of a transformer block in the toolboxes: ours and Swin's, the
# ViTs of mmpretrain, others' ViTs.
_FIRST_NORMS = ('norm1', 'ln1', 'norm_1')
_ATTENTIONS = ('attn', 'attention', 'self_attention')


@dataclass(frozen=True)
class TargetLayer:
    """A layer and the map of its output.

    Args:
        name: Its name in the network.
        module: The layer.
        where: The map.
        is_map: Whether the output is (B, C, h, w), not tokens (B, N, C).
    """

    name: str
    module: nn.Module
    where: TokenMap
    is_map: bool

    def reshape(self, output: Any) -> Tensor:
        """The output, or its gradient, as a map (B, C, h, w)."""
        if self.is_map:
            # A copy: a later layer may change the output in place.
            return output.clone()
        patches = output[:, self.where.num_extra :]
        return patches.transpose(1, 2).unflatten(2, (self.where.height, self.where.width))

    def register_forward_hook(self, hook: Callable[..., Any]) -> Any:
        """As of a layer, for grad-cam: the hook gets the tensor alone."""
        return self.module.register_forward_hook(
            lambda layer, args, output: hook(layer, args, _tensor(output))
        )


@torch.no_grad()
def find_target_layer(network: nn.Module, inputs: Tensor, name: str | None = None) -> TargetLayer:
    """Choose the layer that Grad-CAM looks at.

    By default, in a backbone with transformer blocks it is the first norm of
    the last block: where a class token is classified, nothing that the last
    block does to the other tokens has any effect, so that its output gives
    zeros. In other backbones it is the last layer that gives a map.

    Args:
        network: A network of a toolbox, wrapped or not, with a ``backbone``.
        inputs: Its input, (1, 3, H, W).
        name: The layer by its name in the network, such as ``'backbone.layer3'``.

    Raises:
        UserError: If there is no such layer, or its output forms no map.
    """
    module = getattr(network, 'module', network)
    backbone = getattr(module, 'backbone', module)
    names = {each: key for key, each in module.named_modules()}
    outputs = _outputs(network, module, inputs)
    size = (inputs.shape[2], inputs.shape[3])
    if name is not None:
        chosen = dict(module.named_modules()).get(name)
        if chosen is None or not name:
            raise UserError(f'--target-layer {name!r} is no layer of the model; {_some(names)}')
        if chosen not in outputs:
            raise UserError(f'--target-layer {name!r} does not give one tensor when the model runs')
        return _as_target(name, chosen, outputs[chosen], size)
    norms = [
        norm
        for block in backbone.modules()
        if any(isinstance(getattr(block, each, None), nn.Module) for each in _ATTENTIONS)
        for each in _FIRST_NORMS
        if (norm := getattr(block, each, None)) in outputs
    ]
    inside = set(backbone.modules())
    # The last to end is the outermost: a stage, not a layer inside of it.
    candidates = norms[-1:] or [each for each in outputs if each in inside][::-1]
    for each in candidates:
        try:
            target = _as_target(names[each], each, outputs[each], size)
        except UserError:
            continue
        if target.where.height * target.where.width > 1:
            return target
    raise UserError('no layer of the backbone gives a map; name one with --target-layer')


def _outputs(network: nn.Module, module: nn.Module, inputs: Tensor) -> dict[nn.Module, torch.Size]:
    """Shapes of the outputs of all layers that give one tensor, in the order of ending."""
    shapes: dict[nn.Module, torch.Size] = {}

    def note(layer: nn.Module, _: Any, output: Any) -> None:
        shapes.pop(layer, None)
        tensor = _tensor(output)
        if tensor is not None:
            shapes[layer] = tensor.shape

    handles = [each.register_forward_hook(note) for each in module.modules()]
    try:
        network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _tensor(output: Any) -> Tensor | None:
    """The tensor that a layer gives, alone or, as LeViT's blocks do, with its map's size."""
    if isinstance(output, tuple) and len(output) == 2 and isinstance(output[1], tuple):
        output = output[0]
    return output if isinstance(output, Tensor) else None


def _as_target(
    name: str, module: nn.Module, shape: torch.Size, size: tuple[int, int]
) -> TargetLayer:
    if len(shape) == 4:
        return TargetLayer(name, module, TokenMap.of_map(shape[2], shape[3], size), True)
    if len(shape) == 3:
        return TargetLayer(name, module, TokenMap.of_tokens(shape[1], size), False)
    raise UserError(f'--target-layer {name!r} gives {tuple(shape)}, which is no map of the image')


def _some(names: dict[nn.Module, str]) -> str:
    """A few layers to choose from."""
    deep = [name for name in names.values() if name.count('.') == 2 and 'backbone' in name]
    return f'such as {", ".join(deep[-3:])}' if deep else 'see its modules'
