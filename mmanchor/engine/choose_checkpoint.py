"""Which file a user means by CHECKPOINT: a path, a pointer, or a word."""

from pathlib import Path

from ..utils.errors import UserError
from ..utils.files import PathLike
from .checkpoints import latest_checkpoint, require_checkpoint

LATEST, BEST = 'latest', 'best'
POINTER = 'last_checkpoint'


def choose_checkpoint(checkpoint: PathLike, name: str, work_dir: PathLike | None = None) -> str:
    """Find the file of a checkpoint.

    Args:
        checkpoint: A file; a ``last_checkpoint`` that MMEngine wrote, which is
            followed; an address such as ``https://...``; or ``'latest'`` or
            ``'best'``, of ``work_dir``.
        name: What the user calls it, such as ``CHECKPOINT``.
        work_dir: The folder of a run.

    Returns:
        A path of an existing file, or the address.

    Raises:
        UserError: If there is no such file.
    """
    path = Path(checkpoint)
    if str(checkpoint) in (LATEST, BEST) and not path.is_file():
        return _newest(str(checkpoint), name, work_dir)
    if path.name == POINTER and path.is_file():
        return _followed(path, name)
    return require_checkpoint(checkpoint, name)


def _newest(word: str, name: str, work_dir: PathLike | None) -> str:
    if work_dir is None:
        raise UserError(f'{name} {word!r} needs a work folder; give the path of a checkpoint')
    if word == LATEST:
        found = latest_checkpoint(work_dir)
    else:
        best = sorted(Path(work_dir).glob('best_*.pth'), key=lambda path: path.stat().st_mtime)
        found = str(best[-1]) if best else None
    if found is None:
        what = 'checkpoint' if word == LATEST else 'best_*.pth'
        raise UserError(f'{name} {word!r}: the work folder {str(work_dir)!r} has no {what}')
    return found


def _followed(pointer: Path, name: str) -> str:
    """The file that a ``last_checkpoint`` names; the folder may have been moved."""
    try:
        target = Path(pointer.read_text(encoding='utf-8').strip())
        for path in (target, pointer.parent / target.name):
            if path.is_file():
                return str(path)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f'{name} {str(pointer)!r} does not name a file') from error
    raise UserError(f'{name} {str(pointer)!r} names {str(target)!r}, which is not there')
