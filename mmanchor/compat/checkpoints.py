"""Load checkpoints without running what is in them.

A ``.pth`` file is a pickle, and unpickling can call anything. Every route by
which OpenMMLab loads one ends in :func:`load_checkpoint`: tensors and what
:mod:`~mmanchor.compat.allow_list` names are read, anything else is an error
that says what the file wanted. ``.safetensors`` files load by the same routes.
"""
import io
import os
import pickle
import struct
import tarfile
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Callable, Optional, Union

from .after_import import after_import
from .errors import CheckpointError, UnsafeCheckpointError
from .trust import is_trusted

Source = Union[str, Path, BinaryIO]

# What torch's unpickler raises on a file that is damaged or made to harm.
UNPICKLING_ERRORS = (pickle.UnpicklingError, EOFError, AttributeError,
                     IndexError, KeyError, TypeError, ValueError,
                     AssertionError, RuntimeError, struct.error)
DAMAGE = ('PytorchStreamReader', 'unexpected EOF', 'corrupt', 'magic number')
NO_DEVICE = 'Attempting to deserialize object on'

_asked_for: ContextVar[Optional[str]] = ContextVar('asked_for', default=None)
_resuming: ContextVar[bool] = ContextVar('resuming', default=False)


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
    from .safetensors_files import load_safetensors
    if isinstance(source, (str, Path)):
        path = os.path.expanduser(os.fspath(source))
        name = _asked_for.get() or path
        if path.endswith('.safetensors'):
            return load_safetensors(path, map_location)
        with open(path, 'rb') as file:
            return _load_pickled(file, name, map_location,
                                 is_trusted(path) or is_trusted(name))
    name = _asked_for.get() or getattr(source, 'name', 'a checkpoint')
    return _load_pickled(source, name, map_location, is_trusted(name))


def _load_pickled(file: BinaryIO, name: str, map_location: Any,
                  trusted: bool) -> Any:
    import torch

    from .allow_list import RefusedError, allow_list, as_real
    if trusted:
        return torch.load(file, map_location, weights_only=False)
    _refuse_other_formats(file, name)
    try:
        with allow_list():
            checkpoint = torch.load(file, map_location, weights_only=True)
        checkpoint = as_real(checkpoint)
    except RefusedError as error:
        raise UnsafeCheckpointError(name, str(error)) from None
    except UNPICKLING_ERRORS as error:
        raise _explain(file, name, error) from None
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    if _resuming.get() and isinstance(meta, dict):
        # MMEngine would run this text as Python to compare GPU numbers.
        meta.pop('config', None)
    return checkpoint


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
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    if NO_DEVICE in reason:
        return RuntimeError(f'{name}: {reason}')
    if is_whole and not any(word in reason for word in DAMAGE):
        return UnsafeCheckpointError(name, f'an unusual pickle ({reason})')
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return CheckpointError(
        f'{name} cannot be read as a checkpoint: it has {size} bytes, starts '
        f'with {file.read(16)!r} and is damaged, cut short or something else; '
        'copy or download it again')


def load_url(url: str,
             model_dir: Optional[str] = None,
             map_location: Any = None,
             progress: bool = True,
             check_hash: bool = False,
             file_name: Optional[str] = None) -> Any:
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


class _TorchOfMMEngine(ModuleType):
    """torch as ``mmengine.runner.checkpoint`` sees it: ``load`` is ours."""

    def __init__(self, torch: ModuleType) -> None:
        super().__init__(torch.__name__)
        self._torch = torch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)

    @staticmethod
    def load(source: Source, map_location: Any = None, **kwargs: Any) -> Any:
        """:func:`load_checkpoint`; other options of torch.load are moot."""
        return load_checkpoint(source, map_location)


def _guard_loading(module: ModuleType) -> None:
    """Make every loader of ``mmengine.runner.checkpoint`` use ours."""
    module.torch = _TorchOfMMEngine(module.torch)
    module.load_url = load_url
    # The onedl fork's loaders call this, which ends by unpickling anything.
    if hasattr(module, '_safe_torch_load'):
        module._safe_torch_load = module.torch.load
    loader = module.CheckpointLoader
    original = loader.load_checkpoint.__func__

    def load_named(cls: type, filename: str, *args: Any, **kwargs: Any) -> Any:
        # Errors name what the user wrote, such as torchvision://resnet50.
        token = _asked_for.set(str(filename))
        try:
            return original(cls, filename, *args, **kwargs)
        finally:
            _asked_for.reset(token)

    load_named.__doc__ = original.__doc__
    loader.load_checkpoint = classmethod(load_named)


def _guard_resume(runner: type) -> None:
    original = runner.resume

    def resume(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = _resuming.set(True)
        try:
            return original(self, *args, **kwargs)
        finally:
            _resuming.reset(token)

    resume.__doc__ = original.__doc__
    runner.resume = resume


def _guard_inferencer(inferencer: type) -> None:
    original: Callable = inferencer._init_model

    def init_model(self: Any,
                   cfg: Any,
                   weights: Optional[str],
                   device: str = 'cpu') -> Any:
        # Without a config MMEngine runs the one in the checkpoint as Python.
        if not cfg and not is_trusted(weights):
            raise UnsafeCheckpointError(
                weights, 'to run the config inside it, because no config was '
                'given (pass the config as the argument model)')
        return original(self, cfg, weights, device)

    init_model.__doc__ = original.__doc__
    inferencer._init_model = init_model


def install() -> None:
    """Guard MMEngine's loading as its modules are imported."""
    after_import('mmengine.runner.checkpoint', _guard_loading)
    after_import('mmengine.runner.runner',
                 lambda module: _guard_resume(module.Runner))
    after_import('mmengine.runner._flexible_runner',
                 lambda module: _guard_resume(module.FlexibleRunner))
    after_import('mmengine.infer.infer',
                 lambda module: _guard_inferencer(module.BaseInferencer))
