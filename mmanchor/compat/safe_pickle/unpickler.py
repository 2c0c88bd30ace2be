"""Read a pickle without running what is in it, in bounded time and memory.

Reading goes through :data:`~mmanchor.compat.safe_pickle.table.TABLE`: every name
that a pickle uses is looked up there, and only functions from there are
called. A small file cannot ask for much work either. Each call is charged
against the size of the file, keys of dicts are quick to look up, and what is
shared a thousand times counts a thousand times.
"""

import io
import pickle
import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any, BinaryIO

from .table import Call, Pending, RefusedError, check_keys, find

# What unpickling raises on bytes that are damaged or made to harm.
DAMAGE = (
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
# What protocols 2 to 4 write for data, and 0 and 1 for small parts of it.
OPCODES = """
    PROTO FRAME STOP POP POP_MARK DUP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1
    BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINSTRING SHORT_BINSTRING BINBYTES
    SHORT_BINBYTES BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS
    EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS BINGET LONG_BINGET BINPUT LONG_BINPUT
    MEMOIZE GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD BINPERSID
""".split()  # noqa: SIM905


def name_today(module: str, name: str) -> str:
    """A full name as Python 3 has it; protocol 2 spells some as Python 2."""
    module = IMPORT_MAPPING.get(module, module)
    return '.'.join(NAME_MAPPING.get((module, name), (module, name)))


def _refuse_opcode(unpickler: Any) -> None:
    raise RefusedError('an instruction of pickle that data does not need')


# The Python class, not the C one: its instructions can be replaced.
class SafeUnpickler(pickle._Unpickler):
    """Reads one pickle through the table.

    Args:
        file: Seekable; read from its position.
        storage_sizes: Bytes of each storage that tensors may refer to, by its
            key; ``None`` where the storages follow the pickle.
        kwargs: Options of ``pickle.Unpickler``.
    """

    dispatch = dict.fromkeys(pickle._Unpickler.dispatch, _refuse_opcode)
    dispatch.update(
        {getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
         for name in OPCODES}
    )  # fmt: skip

    def __init__(
        self, file: BinaryIO, *, storage_sizes: dict[str, int] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(file, **kwargs)
        position = file.tell()
        size = file.seek(0, io.SEEK_END) - position
        file.seek(position)
        self._file, self._end = file, position + size
        # A length in the file must not make Python set memory aside for it.
        self._file_read = self._read_what_is_there
        self._file_readline = self._read_whole_line
        self._storage_sizes = storage_sizes
        self._storages: dict[str, int] = {}
        self._claimed = 0
        self.file_size = size
        self._budget = 4 * size + 4096

    def _read_what_is_there(self, size: int) -> bytes:
        if size > self._end - self._file.tell():
            raise EOFError('the file ends too early')
        return self._file.read(size)

    def _read_whole_line(self) -> bytes:
        line = self._file.readline()
        if not line.endswith(b'\n'):
            raise EOFError('the file ends too early')
        return line

    def find_class(self, module: str, name: str) -> Any:
        """What answers to a name, as :func:`~mmanchor.compat.safe_pickle.table.find` gives it."""
        return find(name_today(module, name))

    def _call(self, function: Any, arguments: Any) -> Any:
        if type(arguments) is not tuple:
            raise RefusedError('a call without a tuple of arguments')
        if type(function) is not Call:
            raise RefusedError(f'to call a {type(function).__name__}')
        self._charge(arguments)
        return function.function(*arguments)

    def _charge(self, values: Any) -> None:
        """Pay for reading these values once more."""
        sized = (str, bytes, tuple, list, dict, OrderedDict)
        self._budget -= sum(len(value) for value in values if type(value) in sized)
        if self._budget < 0:
            raise RefusedError('to use the same values over and over')

    def _load_reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        if is_users(function):
            self.stack[-1] = function(*arguments)
        else:
            self.stack[-1] = self._call(function, arguments)

    def _load_newobj(self) -> None:
        arguments = self.stack.pop()
        cls = self.stack.pop()
        new = cls.__new__(cls, *arguments) if is_users(cls) else self._call(cls, arguments)
        self.append(new)

    def _load_build(self) -> None:
        state, target = self.stack[-1], self.stack[-2]
        if isinstance(target, Pending):
            # Not a tensor: one number can claim 2^62 items.
            if type(state) not in (tuple, dict):
                raise RefusedError(
                    f'to complete a {type(target).__name__} by a {type(state).__name__}'
                )
            self._charge(state if type(state) is tuple else [state])
            target.__setstate__(self.stack.pop())
        elif type(target) is OrderedDict:
            self.stack.pop()
            # What torch keeps beside the weights of a model.
            if type(state) is dict and '_metadata' in state:
                target._metadata = state['_metadata']
        elif is_users(type(target)):
            self.load_build()
        else:
            raise RefusedError(f'to change a {type(target).__name__}')

    def _load_dict(self) -> None:
        items = self.pop_mark()
        check_keys(items[::2])
        self.append(dict(zip(items[::2], items[1::2], strict=True)))

    def _load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def _load_setitems(self) -> None:
        self._set_items(self.pop_mark())

    def _set_items(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict):
            raise RefusedError(f'to set items of a {type(target).__name__}')
        check_keys(items[::2])
        target.update(zip(items[::2], items[1::2], strict=True))

    def _load_append(self) -> None:
        self._extend([self.stack.pop()])

    def _load_appends(self) -> None:
        self._extend(self.pop_mark())

    def _extend(self, items: list) -> None:
        if type(self.stack[-1]) is not list:
            raise RefusedError(f'to append to a {type(self.stack[-1]).__name__}')
        self.stack[-1].extend(items)

    def _load_additems(self) -> None:
        items = self.pop_mark()
        check_keys(items)
        if type(self.stack[-1]) is not set:
            raise RefusedError(f'to add to a {type(self.stack[-1]).__name__}')
        self.stack[-1].update(items)

    def _load_binpersid(self) -> None:
        saved_id = self.stack.pop()
        self._check_storage(saved_id)
        self.append(self.persistent_load(saved_id))

    def _check_storage(self, saved_id: Any) -> None:
        """Refuse a storage that is larger than the bytes behind it.

        torch reads as many bytes as the pickle says, whatever there are.
        """
        if type(saved_id) is not tuple or len(saved_id) < 5 or saved_id[0] != 'storage':
            raise RefusedError('something outside of the file')
        _, storage_type, key, location, numel = saved_id[:5]
        dtype = getattr(storage_type, 'dtype', None)
        if dtype is None or type(key) is not str or type(location) is not str:
            raise RefusedError('a storage of an unknown type')
        if type(numel) is not int or numel < 0:
            raise RefusedError('a storage of no size')
        if any(view is not None for view in saved_id[5:]):
            raise RefusedError('a part of a storage')
        size = numel * dtype.itemsize
        if self._storage_sizes is None:
            self._claimed += max(0, size - self._storages.get(key, 0))
            self._storages[key] = max(size, self._storages.get(key, 0))
            if self._claimed > self.file_size:
                raise EOFError('the file ends before the data of its tensors')
        elif size > self._storage_sizes.get(f'data/{key}', -1):
            raise RefusedError(f'more bytes than the file has as data/{key}')


for _name in 'reduce newobj build dict setitem setitems append appends additems binpersid'.split():  # noqa: SIM905
    SafeUnpickler.dispatch[getattr(pickle, _name.upper())[0]] = getattr(
        SafeUnpickler, f'_load_{_name}'
    )


def is_users(cls: Any) -> bool:
    """Whether the user allowed a class or function."""
    import torch

    allowed = torch.serialization.get_safe_globals()
    return any(cls is (item[0] if isinstance(item, tuple) else item) for item in allowed)


def pickle_module(storage_sizes: dict[str, int] | None) -> SimpleNamespace:
    """What ``torch.load`` takes as its ``pickle_module``.

    Args:
        storage_sizes: As for :class:`SafeUnpickler`.
    """

    class Unpickler(SafeUnpickler):
        def __init__(self, file: BinaryIO, **kwargs: Any) -> None:
            super().__init__(file, storage_sizes=storage_sizes, **kwargs)

    return SimpleNamespace(
        __name__=__name__,
        Unpickler=Unpickler,
        load=lambda file, **kwargs: Unpickler(file, **kwargs).load(),
    )
