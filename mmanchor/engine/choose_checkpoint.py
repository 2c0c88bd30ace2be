"""Which file a user means by CHECKPOINT: a path, a pointer, or a word."""

from pathlib import Path

from ..utils.errors import UserError
from ..utils.files import PathLike
from .checkpoints import latest_checkpoint, require_checkpoint

LATEST, BEST = 'latest', 'best'


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
