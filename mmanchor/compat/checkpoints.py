"""Load checkpoints without running what is in them.

A ``.pth`` file is a pickle, and unpickling can call anything. torch reads the
file here through :mod:`~mmanchor.compat.safe_pickle`; whatever is not in its
table is an error that says what the file wanted. ``.safetensors`` files load
too. :mod:`~mmanchor.compat.mmengine_patches` sends MMEngine's loaders here.
"""

import os
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO

from .errors import CheckpointError, UnsafeCheckpointError
from .resume import check_resumed, current_resumed
from .trust import is_trusted

Source = str | os.PathLike | BinaryIO

ZIP_MAGIC = b'PK\x03\x04'
# Of torch, about the machine rather than the file.
NO_FAULT = ('Attempting to deserialize object on', 'out of memory')
# Bytes that tensors may have beyond the data behind them, as expanded ones do.
MOST_OVERLAP = 2**28
# With this variable set torch refuses any reader but its own.
FORCE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'

_asked_for: ContextVar[str | None] = ContextVar('asked_for', default=None)


@contextmanager
def asked_for(name: str) -> Iterator[None]:
    """Let errors inside name the checkpoint as the user wrote it."""
    token = _asked_for.set(name)
    try:
        yield
    finally:
        _asked_for.reset(token)


def load_checkpoint(source: Source, map_location: Any = None) -> Any:
    """Load a checkpoint through the allow-list, or a ``.safetensors`` file.

    Args:
        source: A path, or a seekable file open for reading bytes.
        map_location: As for ``torch.load``.

    Returns:
        What the file holds, usually a dict with ``state_dict`` and ``meta``.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If it wants a class or function that is not
            allowed; the message names it.
        CheckpointError: If it is damaged or is no checkpoint.
    """
    if isinstance(source, (str, os.PathLike)):
        path = os.path.expanduser(os.fspath(source))
        name = _asked_for.get() or path
        if path.endswith('.safetensors'):
            return _load_weights(path, map_location)
        with open(path, 'rb') as file:
            return _load_pickled(file, name, map_location, is_trusted(path) or is_trusted(name))
    name = _asked_for.get() or getattr(source, 'name', 'a checkpoint')
    if str(name).endswith('.safetensors'):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, os.path.basename(name))
            Path(path).write_bytes(source.read())
            return _load_weights(path, map_location)
    return _load_pickled(source, name, map_location, is_trusted(name))


def _load_weights(path: str, map_location: Any) -> dict:
    from .safetensors_files import load_safetensors

    if current_resumed() is not None:
        raise CheckpointError(
            f'{path} holds weights only, so training cannot resume from it: '
            'give it as load_from, or resume from a .pth file'
        )
    return load_safetensors(path, map_location)


def _load_pickled(file: BinaryIO, name: str, map_location: Any, trusted: bool) -> Any:
    import torch

    if trusted:
        return _checked(torch.load(file, map_location, weights_only=False), name)
    from .safe_pickle import DAMAGE, Finisher, RefusedError, pickle_module

    size = _size(file)
    try:
        sizes = _storage_sizes(file, name)
        module = pickle_module(sizes)
        with _own_reader_allowed():
            loaded = torch.load(
                file, map_location, pickle_module=module, weights_only=False, mmap=False
            )
        return _checked(Finisher(size, _leaf_check())(loaded), name)
    except RefusedError as error:
        raise UnsafeCheckpointError(name, str(error)) from None
    except CheckpointError:
        raise
    except (*DAMAGE, zipfile.BadZipFile, tarfile.TarError) as error:
        if any(words in str(error) for words in NO_FAULT):
            raise RuntimeError(f'{name}: {str(error).splitlines()[0]}') from None
        file.seek(0)
        raise CheckpointError(
            f'{name} cannot be read as a checkpoint: it has {size} bytes, starts with '
            f'{file.read(16)!r} and is damaged, cut short or something else; copy or download it '
            'again'
        ) from error


def _size(file: BinaryIO) -> int:
    start = file.tell()
    size = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    return size


def _checked(checkpoint: Any, name: str) -> Any:
    run = current_resumed()
    return checkpoint if run is None else check_resumed(checkpoint, name, run)


_LOCK = threading.RLock()


@contextmanager
def _own_reader_allowed() -> Iterator[None]:
    # The variable forbids unpickling just anything, which we do not do.
    with _LOCK:
        forced = os.environ.pop(FORCE, None)
        try:
            yield
        finally:
            if forced is not None:
                os.environ[FORCE] = forced


def _storage_sizes(file: BinaryIO, name: str) -> dict[str, int] | None:
    """Bytes of each record of a zip file; ``None`` for torch's old format.

    Raises:
        UnsafeCheckpointError: If the file is a program, or an archive that
            unpacks to more than it holds.
        zipfile.BadZipFile: If it is damaged.
    """
    start = file.tell()
    is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
    file.seek(start)
    if not is_zip:
        if tarfile.is_tarfile(file) and _has_members(file):
            raise UnsafeCheckpointError(name, 'the tar format of 2016')
        file.seek(start)
        return None
    import torch

    size = _size(file)
    with zipfile.ZipFile(file) as archive:
        records = {item.filename.partition('/')[2]: item for item in archive.infolist()}
        total = sum(item.file_size for item in archive.infolist())
        if 'constants.pkl' in records:
            raise UnsafeCheckpointError(name, 'to run as a TorchScript program')
        is_plain = all(item.compress_type == zipfile.ZIP_STORED for item in archive.infolist())
        if not is_plain or total > size:
            raise UnsafeCheckpointError(name, 'to be unpacked to more than its own size')
        broken = archive.testzip()  # which torch does not look at
        if broken is not None:
            raise zipfile.BadZipFile(f'{broken} differs from its checksum')
    file.seek(start)
    # torch reads the archive in its own way, which has to agree.
    found = torch._C.PyTorchFileReader(file).get_all_records()
    file.seek(start)
    if sorted(found) != sorted(records):
        raise UnsafeCheckpointError(name, 'to be read in two ways')
    return {key: item.file_size for key, item in records.items()}


def _has_members(file: BinaryIO) -> bool:
    # A file of zeros passes for an archive without members.
    file.seek(0)
    try:
        with tarfile.open(fileobj=file) as archive:
            return archive.next() is not None
    except tarfile.TarError:
        return True


def _leaf_check() -> Callable[[Any], bool]:
    """A function that says whether a checkpoint may hold a value."""
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    from .safe_pickle import RefusedError, is_users

    plain = (np.ndarray, np.generic, np.dtype, torch.Size, torch.device, torch.dtype)
    storages: set[int] = set()
    tensor_bytes = storage_bytes = 0

    def check(value: Any) -> bool:
        nonlocal tensor_bytes, storage_bytes
        if type(value) not in (torch.Tensor, torch.nn.Parameter):
            known = isinstance(value, plain) or type(value) in (HistoryBuffer, set)
            return known or is_users(type(value))
        storage = value.untyped_storage()
        tensor_bytes += value.nbytes
        if storage._cdata not in storages:
            storages.add(storage._cdata)
            storage_bytes += storage.nbytes()
        if tensor_bytes > MOST_OVERLAP + 4 * storage_bytes:
            raise RefusedError('tensors that are far larger than their data')
        return True

    return check


def load_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
) -> Any:
    """Download a checkpoint once and load it through the allow-list.

    torch's function of this name, which MMEngine calls, unpickles anything.

    Args:
        url: Where the file is.
        model_dir: Folder that keeps it; ``None`` is torch.hub's.
        map_location: As for ``torch.load``.
        progress: Whether to show the download's progress.
        check_hash: Whether the file's name ends in its SHA-256.
        file_name: Its name in ``model_dir``; ``None`` takes the URL's.

    Returns:
        As :func:`load_checkpoint`.

    Raises:
        CheckpointError: If it cannot be downloaded.
    """
    from urllib.parse import urlparse

    from torch import hub

    folder = Path(model_dir or os.path.join(hub.get_dir(), 'checkpoints'))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (file_name or os.path.basename(urlparse(url).path))
    if not path.exists():
        match = hub.HASH_REGEX.search(path.name) if check_hash else None
        prefix = match.group(1) if match else None
        try:
            hub.download_url_to_file(url, str(path), prefix, progress=progress)
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f'{url} cannot be downloaded ({error}); check the address and the network, or '
                'download it yourself and give the path of the file'
            ) from error
    return load_checkpoint(path, map_location)
