"""Undo what ``paddle.save`` adds to a state dict."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..compat.errors import CheckpointError

# Present if large arrays were sliced: pickle protocols 2 and 3 hold at most 4 GB.
SLICES = 'UnpackBigParamInfor@@'
# A table of Paddle's internal names of the parameters.
NAMES = 'StructuredToParameterName@@'


def arrays_of_paddle(loaded: Any, name: str) -> dict[str, Any]:
    """Restore the state dict that was given to ``paddle.save``.

    Sliced arrays are joined, and tensors saved as pairs of a name and an array
    become the array. Other entries are not changed.

    Args:
        loaded: The unpickled object.
        name: Name of the file, for messages.

    Returns:
        A new dict.

    Raises:
        CheckpointError: If it is not a dict of arrays, or slices are missing.
    """
    if not isinstance(loaded, dict):
        raise CheckpointError(
            f'{name} holds {type(loaded).__name__}, not a dict of arrays; give a file of weights'
        )
    state = {key: _array_of(value) for key, value in loaded.items()}
    slices = state.pop(SLICES, {})
    try:
        for key, info in slices.items():
            state[key] = _join(state, info['slices'], info['OriginShape'])
            for part in info['slices']:
                del state[part]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f'{name}: the slices of an array do not fit the table {SLICES} '
            f'({type(error).__name__}: {error}); copy or download it '
            'again'
        ) from None
    if not any(isinstance(value, np.ndarray) for value in state.values()):
        raise CheckpointError(f'{name} holds no arrays; give a file of weights')
    return {str(key): value for key, value in state.items()}


def _array_of(value: Any) -> Any:
    is_pair = (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], np.ndarray)
    )
    return value[1] if is_pair else value


def _join(state: Mapping[str, Any], parts: Any, shape: Any) -> np.ndarray:
    flat = np.concatenate([state[part].ravel() for part in parts])
    if flat.size != math.prod(shape):
        raise ValueError(f'{flat.size} numbers for the shape {shape}')
    return flat.reshape(shape)
