"""Read the names in a pickled checkpoint without unpickling anything."""

import io
import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from typing import BinaryIO

import torch

from .allow_list import allowed_names

ZIP_MAGIC = b'PK\x03\x04'
# torch's old format is a row of pickles: magic number, version, system,
# checkpoint, storage keys; the bytes of the storages follow.
LEGACY_PICKLES = 5
# How torch's reader of zip archives fails, depending on where they end.
DAMAGED = (RuntimeError, OSError)
STRINGS = (
    'STRING',
    'BINSTRING',
    'SHORT_BINSTRING',
    'UNICODE',
    'BINUNICODE',
    'SHORT_BINUNICODE',
    'BINUNICODE8',
)


def _open_zip(file: BinaryIO) -> 'torch._C.PyTorchFileReader':
    # torch's own reader, so that what is checked is what torch would load.
    return torch._C.PyTorchFileReader(file)


def _is_zip(file: BinaryIO) -> bool:
    start = file.tell()
    head = file.read(len(ZIP_MAGIC))
    file.seek(start)
    return head == ZIP_MAGIC


def is_torchscript(file: BinaryIO) -> bool:
    """Whether a file is a program saved by ``torch.jit``.

    Args:
        file: Seekable; a damaged archive counts as no program.
    """
    if not _is_zip(file):
        return False
    try:
        return 'constants.pkl' in _open_zip(file).get_all_records()
    except DAMAGED:
        return False


def names_in(stream: BinaryIO) -> Iterator[str]:
    """Full names that one pickle imports, without unpickling it.

    Args:
        stream: Its position is behind the pickle afterwards.

    Yields:
        Names as Python 3 spells them; ``?`` where a part is not a string
        that the pickle spells out.

    Raises:
        ValueError: If the bytes are no pickle, or end too early.
    """
    memo: dict[int, str] = {}
    strings = ['?', '?']
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in STRINGS:
            strings.append(str(argument))
        elif opcode.name == 'MEMOIZE':
            memo[len(memo)] = strings[-1]
        elif opcode.name in ('BINPUT', 'LONG_BINPUT'):
            memo[argument] = strings[-1]
        elif opcode.name in ('BINGET', 'LONG_BINGET'):
            strings.append(memo.get(argument, '?'))
        elif opcode.name in ('GLOBAL', 'INST'):
            yield name_today(*argument.split(' ', 1))
        elif opcode.name == 'STACK_GLOBAL':
            yield name_today(*strings[-2:])


def name_today(module: str, name: str) -> str:
    """A full name as Python 3 has it; protocol 2 spells some as Python 2."""
    module = IMPORT_MAPPING.get(module, module)
    return '.'.join(NAME_MAPPING.get((module, name), (module, name)))


def find_names_not_allowed(file: BinaryIO) -> tuple[list[str], bool]:
    """Find what a checkpoint names beyond the allow-list.

    Args:
        file: Seekable; it is read from its start.

    Returns:
        Full names in the order of the file, without repeats, and whether
        all of the pickle could be read.
    """
    from torch._weights_only_unpickler import _get_allowed_globals

    names: list[str] = []
    is_whole = True
    file.seek(0)
    try:
        if _is_zip(file):
            record = _open_zip(file).get_record('data.pkl')
            names.extend(names_in(io.BytesIO(record)))
        else:
            for _ in range(LEGACY_PICKLES):
                names.extend(names_in(file))
    except (*DAMAGED, ValueError, IndexError):
        is_whole = False
    allowed = {*_get_allowed_globals(), *allowed_names()}
    return [name for name in dict.fromkeys(names) if name not in allowed], is_whole
