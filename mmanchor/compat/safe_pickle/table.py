"""The names that a pickle may use, and what answers to them.

A pickle names functions and classes, and reading it calls them. None of the
originals may be reached: ``builtins.getattr`` reaches everything, and
``numpy.dtype.__setstate__`` believes any flags, so that plain bytes become
pointers. The functions of :data:`TABLE` answer to those names instead. Each
checks its arguments and reads only what checkpoints and arrays contain.
"""

import argparse
import math
import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

HISTORY_BUFFER = 'mmengine.logging.history_buffer.HistoryBuffer'
STATISTICS = ('mean', 'max', 'min', 'current')
# Booleans, integers, floats, complex numbers, bytes and strings.
DTYPE = re.compile(r'[<>|=]?(\?|[biufc]\d{1,2}|[SU]\d{1,9})')
DTYPE_NAMES = """
    float64 float32 float16 bfloat16 complex64 complex128 int64 int32 int16 int8 uint8 bool
""".split()  # noqa: SIM905
KEYS = (str, bytes, int, float, bool, type(None))
SCALARS = (*KEYS, complex)
# Python spreads whole numbers below this over a table; from here on, chosen
# numbers can all share one place in it, which makes a dict slow.
LARGEST_KEY = 2**60


class RefusedError(Exception):
    """A pickle wants something that is not allowed; the message names it."""


def show(value: Any) -> str:
    """A value in a message: never long, and quick to write whatever it holds."""
    if type(value) in (tuple, list) and len(value) < 9:
        inner = ', '.join(map(_show_scalar, value))
        return f'({inner})' if type(value) is tuple else f'[{inner}]'
    return _show_scalar(value)


def _show_scalar(value: Any) -> str:
    return repr(value)[:60] if type(value) in SCALARS else type(value).__name__


class Call:
    """A function that a pickle may call, and do nothing else with."""

    __slots__ = ('function', 'name')

    def __init__(self, name: str, function: Callable) -> None:
        self.name = name
        self.function = function


TABLE: dict[str, Any] = {}


def _answers_to(*names: str) -> Callable:
    """Put a function into the table under these names."""

    def register(function: Callable) -> Callable:
        for name in names:
            TABLE[name] = Call(name, function)
        return function

    return register


class Pending:
    """What a pickle fills in two steps, and :meth:`real` completes."""

    def __setstate__(self, state: Any) -> None:
        raise NotImplementedError

    def real(self) -> Any:
        """The object that this one stands for."""
        raise NotImplementedError


@_answers_to('numpy.dtype')
class PendingDtype(Pending):
    """A ``numpy.dtype``."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if type(code) is not str or not DTYPE.fullmatch(code):
            raise RefusedError(f'numpy.dtype({show(code)})')
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        _, byte_order, *fields = state
        if byte_order not in ('<', '>', '|', '=') or any(fields[:3]):
            raise RefusedError('numpy.dtype with fields')
        if byte_order in ('<', '>'):
            self.value = self.value.newbyteorder(byte_order)

    def real(self) -> np.dtype:
        """The dtype."""
        return self.value


class PendingArray(Pending):
    """A ``numpy.ndarray``."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        if type(dtype) is not PendingDtype or type(data) is not bytes:
            raise RefusedError(f'numpy.ndarray of {type(data).__name__}, something but numbers')
        if type(shape) is not tuple or not _is_sizes(shape):
            raise RefusedError(f'numpy.ndarray with the shape {show(shape)}')
        if math.prod(shape) * dtype.value.itemsize != len(data):
            what = f'shape {show(shape)} and type {dtype.value}'
            raise RefusedError(f'numpy.ndarray of {what} from {len(data)} bytes')
        view = np.frombuffer(data, dtype.value).reshape(shape, order='F' if is_fortran else 'C')
        # A copy can be written to, and has this machine's byte order.
        self.value = view.astype(dtype.value.newbyteorder('='), order='K')

    def real(self) -> np.ndarray:
        """The array."""
        if self.value is None:
            raise RefusedError('numpy.ndarray without data')
        return self.value


@_answers_to('numpy.ndarray')
def _ndarray(*args: Any) -> None:
    raise RefusedError('numpy.ndarray without data')


# numpy 2 writes the first spelling, numpy 1 wrote the second.
@_answers_to('numpy._core.multiarray._reconstruct', 'numpy.core.multiarray._reconstruct')
def _reconstruct(cls: Any, shape: tuple, typecode: bytes) -> PendingArray:
    if cls is not TABLE['numpy.ndarray']:
        raise RefusedError('an array of another class than numpy.ndarray')
    return PendingArray()


@_answers_to('numpy._core.multiarray.scalar', 'numpy.core.multiarray.scalar')
def _scalar(dtype: PendingDtype, data: bytes) -> np.generic:
    if type(dtype) is not PendingDtype or type(data) is not bytes:
        raise RefusedError(f'a numpy scalar of {type(data).__name__}')
    return np.frombuffer(data, dtype.value, count=1)[0]


@_answers_to(HISTORY_BUFFER)
class PendingHistoryBuffer(Pending):
    """MMEngine's ``HistoryBuffer``."""

    state: dict | None = None

    def __setstate__(self, state: dict) -> None:
        self.state = state

    def real(self) -> Any:
        """The buffer, with the statistics of this process.

        They are shared by all buffers, and no file may change them.
        """
        from mmengine.logging import HistoryBuffer

        if type(self.state) is not dict:
            raise RefusedError('HistoryBuffer without data')
        length = self.state['max_length']
        if type(length) is not int:
            raise RefusedError('HistoryBuffer of something but arrays')
        return HistoryBuffer(*self.arrays(), length)

    def arrays(self) -> list[np.ndarray]:
        """What the buffer is a copy of."""
        state = self.state if type(self.state) is dict else {}
        arrays = [state.get(name) for name in ('_log_history', '_count_history')]
        if not all(type(each) is PendingArray for each in arrays):
            raise RefusedError('HistoryBuffer of something but arrays')
        return [each.real() for each in arrays]


@_answers_to('builtins.getattr')
def _get_statistic(owner: Any, name: str) -> None:
    # HistoryBuffer pickles its own methods in this way.
    if owner is not TABLE[HISTORY_BUFFER] or name not in STATISTICS:
        owner = owner.name.rpartition('.')[2] if type(owner) is Call else type(owner).__name__
        raise RefusedError(f'builtins.getattr({owner}, {show(name)})')


@_answers_to('argparse.Namespace')
class PendingNamespace(Pending):
    """The options of a run, which the scripts of DeiT and timm save."""

    state: dict | None = None

    def __setstate__(self, state: dict) -> None:
        if type(state) is not dict or not all(type(name) is str for name in state):
            raise RefusedError('argparse.Namespace of something but options')
        self.state = state

    def real(self) -> argparse.Namespace:
        """The options."""
        options = argparse.Namespace()
        # Not by setattr, which would also set `__class__`.
        vars(options).update(self.state or {})
        return options


# Protocol 2, which torch keeps, spells bytes as these calls.
@_answers_to('_codecs.encode')
def _encode(text: str, encoding: str) -> bytes:
    if type(text) is not str or encoding != 'latin1':
        raise RefusedError(f'_codecs.encode to {show(encoding)}')
    return text.encode(encoding)


@_answers_to('builtins.bytes')
def _empty_bytes() -> bytes:
    return b''


@_answers_to('builtins.tuple')
def _tuple(items: list | tuple) -> tuple:
    # A tensor of one number can claim 2^62 items, which this would go through.
    if type(items) not in (list, tuple):
        raise RefusedError(f'a tuple of a {type(items).__name__}')
    return tuple(items)


@_answers_to('builtins.complex')
def _complex(real: float, imag: float) -> complex:
    return complex(real, imag)


@_answers_to('builtins.set')
def _set(items: list) -> set:
    check_keys(items)
    return set(items)


@_answers_to('collections.OrderedDict')
def _ordered_dict(pairs: list = ()) -> OrderedDict:
    check_keys(key for key, _ in pairs)
    return OrderedDict(pairs)


@_answers_to('collections.Counter')
def _counter(counts: dict) -> Counter:
    if type(counts) is not dict:
        raise RefusedError('collections.Counter of something but counts')
    return Counter(counts)


def check_keys(keys: Any) -> None:
    """Refuse keys of dicts, and members of sets, that are slow to look up.

    The hash of a tuple of tuples takes a time that doubles with each level.

    Args:
        keys: What a pickle wants to use as such.

    Raises:
        RefusedError: If one is neither text nor a number of usual size.
    """
    for key in keys:
        if type(key) is int and not -LARGEST_KEY < key < LARGEST_KEY:
            raise RefusedError('to use a huge number as a key of a dict')
        if type(key) not in KEYS:
            raise RefusedError(f'to use a {type(key).__name__} as a key of a dict')


def _is_sizes(value: Any) -> bool:
    return (
        type(value) in (tuple, list)
        and len(value) <= 64
        and all(type(item) is int and 0 <= item < 2**62 for item in value)
    )


@_answers_to('torch._utils._rebuild_tensor')
def _tensor(storage: Any, offset: int, size: tuple, stride: tuple) -> Any:
    import torch

    if type(storage) is not torch.storage.TypedStorage or storage.dtype is None:
        raise RefusedError(f'a tensor of {type(storage).__name__}')
    if not (_is_sizes(size) and _is_sizes(stride) and _is_sizes([offset])):
        raise RefusedError('a tensor whose sizes are no whole numbers')
    end = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
    untyped = storage._untyped_storage
    if 0 not in size and end * storage.dtype.itemsize > untyped.nbytes():
        raise RefusedError('a tensor that is larger than its data')
    empty = torch.empty(0, dtype=storage.dtype, device=untyped.device)
    return empty.set_(untyped, offset, tuple(size), tuple(stride))


@_answers_to('torch._utils._rebuild_tensor_v2')
def _tensor_v2(
    storage: Any,
    offset: int,
    size: tuple,
    stride: tuple,
    requires_grad: bool,
    hooks: Any,
    metadata: Any = None,
) -> Any:
    if hooks or metadata:
        raise RefusedError('a tensor with hooks')
    return _tensor(storage, offset, size, stride).requires_grad_(bool(requires_grad))


@_answers_to('torch._utils._rebuild_parameter')
def _parameter(data: Any, requires_grad: bool, hooks: Any) -> Any:
    import torch

    if type(data) is not torch.Tensor or hooks:
        raise RefusedError('a parameter with hooks')
    return torch.nn.Parameter(data, bool(requires_grad))


@_answers_to('torch.Size')
def _size(sizes: Any) -> Any:
    import torch

    if not _is_sizes(sizes):
        raise RefusedError('a torch.Size of no whole numbers')
    return torch.Size(sizes)


@_answers_to('torch.device')
def _device(name: str, index: int = 0) -> Any:
    import torch

    return torch.device(name, index) if name != 'cpu' else torch.device(name)


def find(name: str) -> Any:
    """What answers to a full name in a pickle.

    Args:
        name: Such as ``'collections.OrderedDict'``.

    Returns:
        A :class:`Call`, a dtype of torch, or a class or function that the
        user allowed by ``torch.serialization.add_safe_globals``.

    Raises:
        RefusedError: If nothing does.
    """
    if name in TABLE:
        return TABLE[name]
    import torch

    module, _, last = name.rpartition('.')
    if module == 'torch' and last in DTYPE_NAMES:
        return getattr(torch, last)
    for item in torch.serialization.get_safe_globals():
        # Since torch 2.6 an item may be a pair of the object and its name.
        item, known = item if isinstance(item, tuple) else (item, None)
        if name == (known or f'{item.__module__}.{item.__qualname__}'):
            return item
    raise RefusedError(name)
