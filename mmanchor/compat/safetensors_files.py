"""Checkpoints as ``.safetensors`` files: tensors and text, never code.

The metadata of such a file is a flat table of strings; each entry of a
checkpoint's ``meta`` becomes one, as JSON.
"""

import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..utils.files import replacing
from .errors import CheckpointError


def load_safetensors(path: str | Path, map_location: Any = None) -> dict:
    """Read a ``.safetensors`` file as MMEngine reads a checkpoint.

    Args:
        path: The file.
        map_location: A device to move the tensors to; a function or a dict,
            which torch.load also takes, leaves them on the CPU.

    Returns:
        A dict with ``state_dict``, and ``meta`` from the file's metadata.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it is damaged or has another format.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path} can not be found.')
    try:
        with safe_open(path, framework='pt') as file:
            state_dict = OrderedDict((key, file.get_tensor(key)) for key in file.keys())  # noqa: SIM118
            meta = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f'{path} cannot be read as .safetensors ({error}): it has '
            f'{os.path.getsize(path)} bytes and is damaged, cut short or '
            'something else; copy or download it again'
        ) from None
    if isinstance(map_location, (str, int, torch.device)):
        for key, tensor in state_dict.items():
            state_dict[key] = tensor.to(map_location)
    return dict(state_dict=state_dict, meta={key: _parse(text) for key, text in meta.items()})


def _parse(text: str) -> Any:
    # Metadata that others wrote, such as format='pt', is often not JSON.
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def save_safetensors(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Write a checkpoint's weights and ``meta`` to a ``.safetensors`` file.

    An optimizer's state and whatever else a training run keeps is left out:
    resume from ``.pth``, publish ``.safetensors``.

    Args:
        checkpoint: A state_dict, or a dict with ``state_dict`` and maybe
            ``meta``, whose entries that JSON cannot spell are left out.
        path: Where to; written aside and moved there when complete.

    Raises:
        ValueError: If the name does not end in .safetensors.
        TypeError: If an entry of the state_dict is no tensor.
    """
    path = Path(path)
    if path.suffix != '.safetensors':
        raise ValueError(f'path must end in .safetensors, got {path}')
    state_dict = checkpoint.get('state_dict', checkpoint)
    tensors = {}
    for key, value in state_dict.items():
        if not isinstance(value, torch.Tensor):
            raise TypeError(f'state_dict[{key!r}] must be a tensor, got {type(value).__name__}')
        # The format holds no views: tensors may not share their memory.
        tensors[key] = value.detach().cpu().contiguous().clone()
    with replacing(path) as temporary:
        save_file(tensors, temporary, _text_of(checkpoint.get('meta', {})))


def _text_of(meta: Mapping[str, Any]) -> dict[str, str]:
    texts = {'format': 'pt'}
    for key, value in meta.items():
        try:
            texts[str(key)] = json.dumps(value, default=_as_list)
        except TypeError:
            continue
    return texts


def _as_list(value: Any) -> Any:
    # Palettes are often arrays.
    if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
        return value.tolist()
    raise TypeError(f'{type(value).__name__} is not for JSON')
