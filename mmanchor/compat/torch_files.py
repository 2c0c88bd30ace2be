"""Weights among what training scripts save beside them."""

from typing import Any

import torch
from torch import Tensor

from .errors import CheckpointError

# Where scripts put the weights, in the order in which they are looked for.
NESTED = ('state_dict', 'model', 'module')
# A row of Renaming.unused for the other entries, under these names.
BESIDE = 'beside the weights: '
TRAINING_STATE = (f'^{BESIDE}', 'not a weight: what a training run keeps')
# What every operation of a conversion can compute with.
NUMBERS = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)


def arrays_of_torch(loaded: Any, name: str) -> dict[str, Any]:
    """The weights of a checkpoint, out of the dict that they lie in.

    Args:
        loaded: What the file holds: a state dict, or a dict with one as
            ``state_dict``, ``model`` or ``module``.
        name: The file, for messages.

    Returns:
        A new dict: the weights without the prefix ``module.`` of wrapped
        models, and each other entry under its name after :data:`BESIDE`.

    Raises:
        CheckpointError: If it holds no weights, or some that are not plain
            numbers, such as sparse or quantized tensors.

    Example:
        >>> import torch
        >>> saved = {'model': {'module.w': torch.ones(1)}, 'epoch': 3}
        >>> arrays_of_torch(saved, 'a.pth')
        {'w': tensor([1.]), 'beside the weights: epoch': 3}
    """
    if not isinstance(loaded, dict):
        raise CheckpointError(
            f'{name} holds {type(loaded).__name__}, not a dict of weights; save model.state_dict()'
        )
    weights, beside = loaded, {}
    for key in NESTED:
        if isinstance(loaded.get(key), dict):
            weights = loaded[key]
            # An empty `meta` is what a .safetensors file without one gives.
            beside = {
                k: value
                for k, value in loaded.items()
                if k != key and not (k == 'meta' and value == {})
            }
            break
    if not any(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(
            f'{name} holds no weights, neither itself nor as '
            f'{", ".join(NESTED)}; save model.state_dict()'
        )
    weights = {str(key): value for key, value in weights.items()}
    for key, value in weights.items():
        if isinstance(value, Tensor):
            _require_plain(value, key, name)
    if all(key.startswith('module.') for key in weights):
        weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    weights.update((f'{BESIDE}{key}', value) for key, value in beside.items())
    return weights


def _require_plain(value: Tensor, key: str, name: str) -> None:
    if value.is_meta:
        what = 'a tensor without data'
    elif value.is_nested or value.layout is not torch.strided:
        what = 'a sparse or a nested tensor'
    elif value.dtype not in NUMBERS:
        what = f'{value.dtype} numbers'
    else:
        return
    raise CheckpointError(f'{name} holds {key} as {what}; save it as a dense tensor of float32')
