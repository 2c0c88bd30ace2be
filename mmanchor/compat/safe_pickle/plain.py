"""Pickles of plain data, such as PaddlePaddle's weights."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError, UnsafeCheckpointError
from .table import RefusedError
from .unpickler import DAMAGE, SafeUnpickler
from .values import Finisher


def load_plain_pickle(path: str | os.PathLike) -> Any:
    """Unpickle a file of plain data, such as PaddlePaddle's ``.pdparams``.

    Args:
        path: A pickle of protocol 2, 3 or 4.

    Returns:
        Dicts, lists, tuples, strings, bytes, numbers, ``None`` and numpy
        arrays of numbers in this machine's byte order.

    Raises:
        UnsafeCheckpointError: If the file wants anything else; the message
            names it.
        CheckpointError: If it cannot be read, is damaged or is no pickle.
    """
    name = os.fspath(path)
    try:
        data = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise CheckpointError(
            f'{name} cannot be read ({error.strerror}); give the path of a file'
        ) from None
    try:
        value = SafeUnpickler(io.BytesIO(data)).load()
        return Finisher(len(data), _is_number_array)(value)
    except RefusedError as error:
        raise UnsafeCheckpointError(name, str(error), can_trust=False) from None
    except DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise CheckpointError(
            f'{name} cannot be read as a pickle ({reason}): it has '
            f'{len(data)} bytes, starts with {data[:16]!r} and is damaged, '
            'cut short or something else; copy or download it again'
        ) from None


def _is_number_array(value: Any) -> bool:
    return type(value) is np.ndarray and value.dtype.kind in 'biufc'
