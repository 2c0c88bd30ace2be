"""Load checkpoints without running what is in them.

A ``.pth`` file is a pickle, and unpickling can call anything. Here tensors and
what :mod:`~mmanchor.compat.allow_list` names are read; anything else is an
error that says what the file wanted. ``.safetensors`` files load too.
:mod:`~mmanchor.compat.mmengine_guards` sends MMEngine's loaders here.
"""

import io
import os
import pickle
import struct
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO, Union

from .errors import CheckpointError, UnsafeCheckpointError
from .resume import check_resumed, current_resumed
from .trust import is_trusted

Source = Union[str, os.PathLike, BinaryIO]

# What torch's unpickler raises on a file that is damaged or made to harm.
UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    AssertionError,
    RuntimeError,
    OSError,
    struct.error,
)
DAMAGE = ('PytorchStreamReader', 'unexpected EOF', 'corrupt', 'magic number')
# torch 2.4 reports these as it reports a pickle that it refuses.
NO_FAULT = ('Attempting to deserialize object on', 'out of memory')

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

    from .allow_list import RefusedError, allow_list, as_real

    if trusted:
        return _checked(torch.load(file, map_location, weights_only=False), name)
    _refuse_other_formats(file, name)
    try:
        with allow_list():
            checkpoint = torch.load(file, map_location, weights_only=True)
        checkpoint = as_real(checkpoint)
    except RefusedError as error:
        raise UnsafeCheckpointError(name, str(error)) from None
    except UNPICKLING_ERRORS as error:
        raise _explain(file, name, error) from None
    return _checked(checkpoint, name)


def _checked(checkpoint: Any, name: str) -> Any:
    run = current_resumed()
    return checkpoint if run is None else check_resumed(checkpoint, name, run)


def _refuse_other_formats(file: BinaryIO, name: str) -> None:
    # torch before 2.6 unpacks these even when asked for weights only.
    from .pickle_names import is_torchscript

    start = file.tell()
    if tarfile.is_tarfile(file):
        raise UnsafeCheckpointError(name, 'the tar format of 2016')
    file.seek(start)
    if is_torchscript(file):
        raise UnsafeCheckpointError(name, 'to run as a TorchScript program')
    file.seek(start)


def _explain(file: BinaryIO, name: str, error: Exception) -> Exception:
    """The error to raise for a file that torch's unpickler stopped at."""
    from .pickle_names import find_names_not_allowed

    names, is_whole = find_names_not_allowed(file)
    if names:
        return UnsafeCheckpointError(name, ', '.join(names))
    reason = _reason_of(error)
    if any(word in reason for word in NO_FAULT):
        return RuntimeError(f'{name}: {reason}')
    if is_whole and not any(word in reason for word in DAMAGE):
        return UnsafeCheckpointError(name, f'an unusual pickle ({reason})')
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return CheckpointError(
        f'{name} cannot be read as a checkpoint: it has {size} bytes, starts '
        f'with {file.read(16)!r} and is damaged, cut short or something else; '
        'copy or download it again'
    )


def _reason_of(error: Exception) -> str:
    # torch wraps what went wrong in advice on its own options.
    _, found, reason = str(error).partition('WeightsUnpickler error: ')
    lines = (reason if found else str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


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
    """
    from urllib.parse import urlparse

    from torch import hub

    folder = Path(model_dir or os.path.join(hub.get_dir(), 'checkpoints'))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (file_name or os.path.basename(urlparse(url).path))
    if not path.exists():
        match = hub.HASH_REGEX.search(path.name) if check_hash else None
        prefix = match.group(1) if match else None
        hub.download_url_to_file(url, str(path), prefix, progress=progress)
    return load_checkpoint(path, map_location)
