"""Read a pickle of numbers, strings, containers and numpy arrays only.

Unpickling can call anything, and even ``numpy.ndarray.__setstate__`` and
``numpy.dtype.__setstate__`` crash on states made to harm. Here nothing of
numpy, and nothing that the file names, is called by the unpickler: functions
of this module answer to a handful of names, check every size against the
bytes that are there, and build the arrays.
"""

import io
import math
import os
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .allow_list import RefusedError
from .checkpoints import UNPICKLING_ERRORS
from .errors import CheckpointError, UnsafeCheckpointError
from .pickle_names import name_today, names_in

# Booleans, integers, floats and complex numbers, as numpy pickles them.
DTYPES = frozenset(
    ('b1', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8', 'c8', 'c16')
)
SCALARS = (str, bytes, int, float, bool, type(None))
# What protocols 2 to 4 need for such data. Left out are the ways of making
# objects of a class, of naming objects outside the file, and what only
# protocols 0, 1 and 5 use.
OPCODES = frozenset(
    (
        'PROTO',
        'FRAME',
        'STOP',
        'POP',
        'POP_MARK',
        'DUP',
        'MARK',
        'NONE',
        'NEWTRUE',
        'NEWFALSE',
        'BININT',
        'BININT1',
        'BININT2',
        'LONG1',
        'LONG4',
        'BINFLOAT',
        'BINUNICODE',
        'SHORT_BINUNICODE',
        'BINUNICODE8',
        'BINBYTES',
        'SHORT_BINBYTES',
        'BINBYTES8',
        'EMPTY_TUPLE',
        'TUPLE',
        'TUPLE1',
        'TUPLE2',
        'TUPLE3',
        'EMPTY_LIST',
        'APPEND',
        'APPENDS',
        'EMPTY_DICT',
        'DICT',
        'SETITEM',
        'SETITEMS',
        'BINGET',
        'LONG_BINGET',
        'BINPUT',
        'LONG_BINPUT',
        'MEMOIZE',
        'GLOBAL',
        'STACK_GLOBAL',
        'REDUCE',
        'BUILD',
    )
)
DAMAGE = (*UNPICKLING_ERRORS, OverflowError, MemoryError, RecursionError)


class _Call:
    """A function that a pickle may call, and do nothing else with."""

    __slots__ = ('function',)

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)

    def __setstate__(self, state: Any) -> None:
        raise RefusedError('to change a function')


class _Dtype:
    __slots__ = ('value',)

    def __init__(self, code: str, align: bool = False, copy: bool = False):
        if type(code) is not str or code not in DTYPES:
            raise RefusedError(f'numpy.dtype({code!r})')
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        _, byte_order, *fields = state
        if byte_order not in ('<', '>', '|', '=') or any(fields[:3]):
            raise RefusedError(f'numpy.dtype with the state {state!r}')
        self.value = self.value.newbyteorder(byte_order)


class _Array:
    __slots__ = ('value',)

    def __init__(self) -> None:
        self.value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        if type(dtype) is not _Dtype or type(data) is not bytes:
            raise RefusedError('numpy.ndarray of something but numbers')
        if type(shape) is not tuple or not all(type(side) is int and side >= 0 for side in shape):
            raise RefusedError(f'numpy.ndarray with the shape {shape!r}')
        dtype = dtype.value
        if math.prod(shape) * dtype.itemsize != len(data):
            raise RefusedError(
                f'numpy.ndarray of shape {shape} and type {dtype} from {len(data)} bytes'
            )
        order = 'F' if is_fortran else 'C'
        view = np.frombuffer(data, dtype).reshape(shape, order=order)
        # A copy can be written to, and has this machine's byte order.
        self.value = view.astype(dtype.newbyteorder('='), order='K')


def _reconstruct(kind: Any, shape: Any, typecode: Any) -> _Array:
    if kind is not _NDARRAY:
        raise RefusedError('an array of another class than numpy.ndarray')
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    # Protocol 2 has no bytes and spells them as this call.
    if type(text) is not str or encoding != 'latin1':
        raise RefusedError(f'_codecs.encode to {encoding!r}')
    return text.encode(encoding)


def _no_call(*args: Any) -> None:
    raise RefusedError('to make an array without its data')


def _bytes() -> bytes:
    return b''


def _dict(pairs: Any = ()) -> dict:
    return dict(pairs)


def _tuple(items: tuple) -> tuple:
    return tuple(items)


_NDARRAY = _Call(_no_call)
ALLOWED: dict[str, _Call] = {
    'numpy.ndarray': _NDARRAY,
    'numpy.dtype': _Call(_Dtype),
    # numpy 1 wrote the first spelling, numpy 2 writes the second.
    'numpy.core.multiarray._reconstruct': _Call(_reconstruct),
    'numpy._core.multiarray._reconstruct': _Call(_reconstruct),
    '_codecs.encode': _Call(_encode),
    'builtins.bytes': _Call(_bytes),
    'builtins.tuple': _Call(_tuple),
    # A plain dict keeps the order too, and has no attributes to overwrite.
    'collections.OrderedDict': _Call(_dict),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> _Call:
        full_name = name_today(module, name)
        if full_name not in ALLOWED:
            raise RefusedError(full_name)
        return ALLOWED[full_name]


def load_plain_pickle(path: str | os.PathLike) -> Any:
    """Unpickle a file without being able to run what is in it.

    Args:
        path: A pickle of protocol 2, 3 or 4.

    Returns:
        Dicts, lists, tuples, strings, bytes, numbers, ``None`` and numpy
        arrays of numbers. An ``OrderedDict`` comes as a dict.

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
        _check_opcodes(data)
        value = _Unpickler(io.BytesIO(data)).load()
        return _real(value, {})
    except RefusedError as error:
        raise UnsafeCheckpointError(name, str(error), can_trust=False) from None
    except DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise CheckpointError(
            f'{name} cannot be read as a pickle ({reason}): it has '
            f'{len(data)} bytes, starts with {data[:16]!r} and is damaged, '
            'cut short or something else; copy or download it '
            'again'
        ) from None


def _check_opcodes(data: bytes) -> None:
    """Refuse, before anything is built, what such data has no need of."""
    names = dict.fromkeys(names_in(io.BytesIO(data)))
    refused = [each for each in names if each not in ALLOWED]
    if refused:
        raise RefusedError(', '.join(refused))
    for opcode, argument, position in pickletools.genops(data):
        if opcode.name not in OPCODES:
            raise RefusedError(f'the pickle instruction {opcode.name}')
        # The unpickler would make room for all places up to this one.
        if opcode.name.endswith('BINPUT') and argument > position:
            raise RefusedError(f'to remember a value at place {argument}')


def _real(value: Any, done: dict[int, tuple[Any, Any]]) -> Any:
    """Put arrays where their stand-ins are, once for each container.

    Args:
        value: What was unpickled.
        done: Containers as they were and as they became, by identity: held
            here, since another object could take the identity of a freed one.
    """
    if type(value) in SCALARS:
        return value
    if id(value) in done:
        return done[id(value)][1]
    if type(value) is _Array:
        if value.value is None:
            raise RefusedError('numpy.ndarray without data')
        return value.value
    if type(value) is tuple:
        new = tuple(_real(item, done) for item in value)
        done[id(value)] = value, new
        return new
    if type(value) not in (list, dict):
        raise RefusedError('a class or function as a value')
    done[id(value)] = value, value
    if type(value) is list:
        value[:] = [_real(item, done) for item in value]
        return value
    for key, item in value.items():
        if type(key) not in SCALARS:
            raise RefusedError(f'a dict with {type(key).__name__} as a key')
        value[key] = _real(item, done)
    return value
