"""What a checkpoint may name besides tensors, and the only code it can reach.

torch's ``weights_only`` unpickler calls the functions, and builds the classes,
that it is told are safe. MMEngine's checkpoints also hold numbers and arrays
of numpy, and ``HistoryBuffer``, which pickles its own methods through
``builtins.getattr``. None of the originals may be reached: ``getattr`` reaches
everything, and ``numpy.dtype.__setstate__`` believes any flags it is given,
so that plain bytes become pointers. Stand-ins answer to those names, read only
what a checkpoint of a training run contains, and become the real objects when
the file has been read.
"""

import argparse
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

HISTORY_BUFFER = 'mmengine.logging.history_buffer.HistoryBuffer'
STATISTICS = ('mean', 'max', 'min', 'current')
# Booleans, integers, floats, complex numbers, bytes and strings.
NUMPY_KINDS = 'biufcSU'

_STAND_INS: dict[str, Any] = {}
_LOCK = threading.RLock()


class RefusedError(Exception):
    """A checkpoint uses an allowed name in a way that is not allowed."""


def _stands_for(path: str) -> Callable:
    """Register a class or function under another's full name."""

    def register(item: Any) -> Any:
        # torch 2.4 takes the name under which an item is safe from these.
        item.__module__, _, item.__qualname__ = path.rpartition('.')
        item.__name__ = item.__qualname__
        _STAND_INS[path] = item
        return item

    return register


@_stands_for('numpy.dtype')
class _Dtype:
    def __init__(self, code: str, align: bool = False, copy: bool = False):
        self.value = np.dtype(code)
        if self.value.kind not in NUMPY_KINDS:
            raise RefusedError(f'numpy.dtype({code!r})')

    def __setstate__(self, state: tuple) -> None:
        _, byte_order, subdtype, names, fields = state[:5]
        if (subdtype, names, fields) != (None, None, None):
            raise RefusedError('numpy.dtype with fields')
        if byte_order in ('<', '>'):
            self.value = self.value.newbyteorder(byte_order)


@_stands_for('numpy.ndarray')
class _Array:
    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        if type(dtype) is not _Dtype or type(data) is not bytes:
            raise RefusedError(f'numpy.ndarray of {type(dtype).__name__}')
        flat = np.frombuffer(data, dtype.value)
        self.value = flat.reshape(shape, order='F' if is_fortran else 'C')

    def real(self) -> np.ndarray:
        if self.value is None:
            raise RefusedError('numpy.ndarray without data')
        # What frombuffer gives cannot be written to.
        return self.value.copy(order='K')


@_stands_for(HISTORY_BUFFER)
class _HistoryBuffer:
    state: dict | None = None

    def __setstate__(self, state: dict) -> None:
        self.state = state

    def real(self) -> Any:
        from mmengine.logging import HistoryBuffer

        if self.state is None:
            raise RefusedError('HistoryBuffer without data')
        # The statistics stay those of this process: they are class-wide, and
        # a file has no business changing them.
        log, count, length = (
            self.state[name] for name in ('_log_history', '_count_history', 'max_length')
        )
        log, count = as_real(log), as_real(count)
        if not (type(log) is type(count) is np.ndarray and type(length) is int):
            raise RefusedError('HistoryBuffer of something but arrays')
        return HistoryBuffer(log, count, length)


@_stands_for('builtins.getattr')
def _get_statistic(owner: Any, name: str) -> None:
    if owner is not _HistoryBuffer or name not in STATISTICS:
        raise RefusedError(f'builtins.getattr({getattr(owner, "__name__", owner)!s}, {name!r})')


@_stands_for('argparse.Namespace')
class _Namespace:
    """The options of a run, which DeiT's and timm's scripts save."""

    state: dict | None = None

    def __setstate__(self, state: dict) -> None:
        self.state = state

    def real(self) -> argparse.Namespace:
        if type(self.state) is not dict or not all(type(name) is str for name in self.state):
            raise RefusedError('argparse.Namespace of something but options')
        options = argparse.Namespace()
        # Not by setattr, which would also set `__class__`.
        vars(options).update(as_real(self.state))
        return options


# Python 2's pickle protocol, which torch keeps, spells bytes as these calls.
@_stands_for('_codecs.encode')
def _encode(text: str, encoding: str) -> bytes:
    if encoding != 'latin1':
        raise RefusedError(f'_codecs.encode to {encoding!r}')
    return text.encode(encoding)


@_stands_for('builtins.bytes')
def _empty_bytes() -> bytes:
    return b''


def _scalar(dtype: _Dtype, data: bytes) -> np.generic:
    if type(dtype) is not _Dtype or type(data) is not bytes:
        raise RefusedError(f'numpy scalar of {type(dtype).__name__}')
    return np.frombuffer(data, dtype.value, count=1)[0]


def _reconstruct(kind: type, shape: tuple, typecode: bytes) -> _Array:
    if kind is not _Array:
        raise RefusedError(f'numpy array of type {kind!r}')
    return _Array()


def _register_numpy_functions() -> None:
    # numpy 2 writes the first spelling, numpy 1 wrote the second.
    for module in ('numpy._core.multiarray', 'numpy.core.multiarray'):
        _stands_for(f'{module}.scalar')(lambda dtype, data: _scalar(dtype, data))
        _stands_for(f'{module}._reconstruct')(
            lambda kind, shape, typecode: _reconstruct(kind, shape, typecode)
        )


_register_numpy_functions()


def as_real(value: Any, seen: dict[int, Any] | None = None) -> Any:
    """Replace stand-ins by the objects they stand for, in place.

    Args:
        value: What was unpickled: dicts, lists and tuples are searched.
        seen: Containers already searched, by identity.

    Returns:
        ``value``, or the object it stands for.

    Raises:
        RefusedError: If a stand-in was given no data, or the wrong kind.
    """
    seen = {} if seen is None else seen
    if id(value) in seen:
        return seen[id(value)]
    if type(value) in (_Array, _HistoryBuffer, _Namespace):
        seen[id(value)] = value.real()
        return seen[id(value)]
    if type(value) is _Dtype:
        return value.value
    if isinstance(value, dict):
        seen[id(value)] = value
        for key, item in value.items():
            value[key] = as_real(item, seen)
    elif isinstance(value, list):
        seen[id(value)] = value
        value[:] = [as_real(item, seen) for item in value]
    elif type(value) is tuple:
        return tuple(as_real(item, seen) for item in value)
    return value


def allowed_names() -> list[str]:
    """Full names that a checkpoint may use besides those of torch."""
    added = torch.serialization.get_safe_globals()
    return list(_STAND_INS) + [_name_of(item) for item in added]


def _name_of(item: Any) -> str:
    # Since torch 2.6 an item may be a pair of the object and its name.
    if isinstance(item, tuple):
        return item[1]
    return f'{item.__module__}.{item.__qualname__}'


@contextmanager
def allow_list() -> Iterator[None]:
    """Let torch's ``weights_only`` unpickler use the stand-ins, inside only.

    What a user added with ``torch.serialization.add_safe_globals`` stays
    allowed, except where a stand-in has that name.
    """
    serialization = torch.serialization
    with _LOCK:
        before = list(serialization.get_safe_globals())
        kept = [item for item in before if _name_of(item) not in _STAND_INS]
        serialization.clear_safe_globals()
        try:
            serialization.add_safe_globals(kept + list(_STAND_INS.values()))
            yield
        finally:
            serialization.clear_safe_globals()
            serialization.add_safe_globals(before)
