"""Folders and files that the commands write: checked first, never torn."""

import errno
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import UserError

PathLike = str | os.PathLike[str]
# The formats of checkpoints.
WEIGHTS_SUFFIXES = ('.pth', '.safetensors')


def make_folder(path: PathLike, name: str) -> Path:
    """Create a folder, or say why the user cannot have it there.

    Args:
        path: The folder; parents are created too.
        name: What the user calls it, such as ``--work-dir``.

    Returns:
        The folder as a path.

    Raises:
        UserError: If it is a file, or cannot be created or written to.
    """
    folder = Path(path)
    if not str(path):
        raise UserError(f'{name} is empty; give a folder')
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f'{name} {str(path)!r} is not a folder that can be '
            f'written to ({error.strerror}); give another '
            'folder'
        ) from error
    return folder


def require_file_path(path: PathLike, name: str) -> Path:
    """Make sure, before the work, that a file can be written.

    Args:
        path: The file; its folder is created if needed.
        name: What the user calls it, such as ``--json``.

    Returns:
        The file as a path.

    Raises:
        UserError: If it is a folder, or its folder cannot be written to.
    """
    path = Path(path)
    if not path.name or path.is_dir():
        raise UserError(f'{name} {str(path)!r} is a folder; give the name of a file')
    make_folder(path.parent, f'the folder of {name}')
    return path


def require_weights_path(path: PathLike, name: str, source: PathLike | None = None) -> Path:
    """Make sure, before the work, that a file of weights can be written.

    Args:
        path: The file.
        name: What the user calls it, such as ``OUT``.
        source: The file that the weights come from.

    Returns:
        The file as a path.

    Raises:
        UserError: If it has another suffix than ``.pth`` or ``.safetensors``, is
            a folder or ``source`` itself.
    """
    path = Path(path)
    if path.suffix not in WEIGHTS_SUFFIXES:
        raise UserError(f'{name} must end in .pth or .safetensors, got {str(path)!r}')
    if path.is_dir():
        raise UserError(f'{name} {path} is a folder; give the name of a file')
    if source is not None and path.resolve() == Path(source).resolve():
        raise UserError(f'{name} {path} is the file to read itself; give another name')
    return path


def require_config_path(weights: Path, source: PathLike | None = None) -> Path:
    """Make sure that the config beside a file of weights replaces no other file.

    Args:
        weights: The file to write.
        source: The config that is read.

    Returns:
        The same name with ``.py``.

    Raises:
        UserError: If that is ``source``, or is there while ``weights`` is not,
            so that it cannot be of an earlier run.
    """
    path = weights.with_suffix('.py')
    is_source = source is not None and path.resolve() == Path(source).resolve()
    if is_source or (path.exists() and not weights.exists()):
        raise UserError(
            f'the config of OUT would replace {path}, which is of something else; '
            f'give OUT another name than {weights.name}'
        )
    return path


def write_json(path: PathLike, data: Any, indent: int | None = 1) -> None:
    """Write ``data`` as JSON, which no other program refuses.

    Numbers of numpy and torch become plain ones; NaN and Inf, which JSON does
    not have, become null.

    Args:
        path: The file.
        data: Dicts, lists, strings and numbers.
        indent: Spaces by level; ``None`` writes one line, for long lists.
    """
    with replacing(path) as part:
        try:
            text = json.dumps(data, indent=indent, default=_plain, allow_nan=False)
        except ValueError:
            text = json.dumps(_finite(data), indent=indent)
        part.write_text(text + '\n', encoding='utf-8')


def _plain(value: Any) -> Any:
    return value.tolist()


def _finite(data: Any) -> Any:
    """A copy with ``None`` for every number that JSON does not have."""
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    if hasattr(data, 'tolist'):
        return _finite(data.tolist())
    return None if isinstance(data, float) and not math.isfinite(data) else data


def read_json(path: PathLike) -> Any:
    """What :func:`write_json` wrote."""
    return json.loads(Path(path).read_text(encoding='utf-8'))


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place on success.

    The temporary name keeps the suffix, by which image and video writers
    choose the format. After an error nothing is left behind.

    Args:
        path: The file to write; its folder is created if needed.

    Yields:
        Where to write it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
    try:
        yield part
        # After a power cut the file is the old one or the new one, whole.
        _sync(part)
        os.replace(part, path)
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        # Some network file systems cannot do it for folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(number)


def remove_leftovers(folder: PathLike) -> list[Path]:
    """Remove half checkpoints that killed runs left of :func:`replacing`.

    Args:
        folder: Where the checkpoints are.

    Returns:
        The files removed.
    """
    removed = []
    for path in Path(folder).glob('.*.pth'):
        match = re.fullmatch(r'\.(?:iter|epoch|best)_.+\.(\d+)\.pth', path.name)
        if match and path.is_file() and not is_running(int(match[1])):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def is_running(process: int) -> bool:
    """Whether a process of this machine is running; True where it cannot be known.

    Args:
        process: Its id.
    """
    if os.name != 'posix':  # Elsewhere, asking would end the process.
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True
