"""What a resumed checkpoint may hand over to the run that goes on.

Besides weights a checkpoint holds text: the source of a config, paths of
files, names of log entries. MMEngine copies all of it into the running
process. It executes the config, deletes the file that ``best_ckpt`` names and
writes the config's text into each later checkpoint. A resumed run therefore
takes numbers and arrays from the file. Text is left out, as the run has set
its own, except paths of the run's own best checkpoints.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CheckpointError

# Entries of the message hub that every run sets by itself before training.
SET_BY_THE_RUN = frozenset(
    ('cfg', 'dataset_meta', 'experiment_name', 'last_ckpt', 'loop_stage', 'mmengine_version')
)
# Entries of a checkpoint's meta that MMEngine or a hook reads after resuming.
META_KEYS = (
    'epoch', 'iter', 'seed', 'dataset_meta', 'time', 'mmengine_version',
    'num_processes', 'batch_size', 'num_samples', 'accumulative_counts',
)  # fmt: skip
BEST_NAME = re.compile(r'best_[^/\\\0]+\.pth')
LONGEST_NAME = 200
MOST_KEPT = 100_000


@dataclass
class Resumed:
    """The run that resumes.

    Args:
        folder: Where it keeps its checkpoints.
        notes: Messages for its log, filled in by :func:`check_resumed`.
    """

    folder: str
    notes: list[str]


_RESUMED: ContextVar[Resumed | None] = ContextVar('resumed', default=None)


@contextmanager
def resuming(folder: str) -> Iterator[Resumed]:
    """Load checkpoints inside to go on with a run whose folder is ``folder``.

    Args:
        folder: Where the run keeps its checkpoints.

    Yields:
        The :class:`Resumed` with the notes.
    """
    token = _RESUMED.set(Resumed(folder, []))
    try:
        yield _RESUMED.get()
    finally:
        _RESUMED.reset(token)


def current_resumed() -> Resumed | None:
    """The run that is resuming, ``None`` outside of :func:`resuming`."""
    return _RESUMED.get()


def check_resumed(checkpoint: Any, source: str, run: Resumed) -> dict:
    """Leave out of a checkpoint what a resumed run must not take over.

    Args:
        checkpoint: What the file holds.
        source: The file, as the user named it.
        run: The run that resumes.

    Returns:
        The checkpoint, with new ``meta`` and ``message_hub``.

    Raises:
        CheckpointError: If it lacks what is needed to resume.
    """
    if not isinstance(checkpoint, dict):
        raise _cannot(source, f'it holds {type(checkpoint).__name__}, not a dict')
    meta, hub = checkpoint.get('meta'), checkpoint.get('message_hub')
    if not isinstance(checkpoint.get('state_dict'), Mapping):
        raise _cannot(source, 'it has no dict of weights named state_dict')
    if not isinstance(meta, Mapping) or not all(_is_count(meta.get(k)) for k in ('epoch', 'iter')):
        raise _cannot(source, "its meta does not give the run's epoch and iter as whole numbers")
    parts = ('log_scalars', 'runtime_info', 'resumed_keys')
    if not isinstance(hub, Mapping) or not all(isinstance(hub.get(k), Mapping) for k in parts):
        raise _cannot(source, f'it has no message_hub with {", ".join(parts)}')
    meta = {key: meta[key] for key in META_KEYS if key in meta}
    if not _is_count(meta.get('seed')):
        meta.pop('seed', None)
    scalars = {key: item for key, item in hub['log_scalars'].items() if _is_name(key)}
    info = _checked_info(hub['runtime_info'], source, run)
    known = scalars.keys() | info.keys()
    hub = dict(
        log_scalars=scalars,
        runtime_info=info,
        resumed_keys={key: bool(item) for key, item in hub['resumed_keys'].items() if key in known},
    )
    return {**checkpoint, 'meta': meta, 'message_hub': hub}


def _cannot(source: str, reason: str) -> CheckpointError:
    return CheckpointError(
        f'training cannot resume from {source}: {reason}; to start from its weights, give it as '
        'load_from'
    )


def _checked_info(info: Mapping, source: str, run: Resumed) -> dict[str, Any]:
    """The entries of the message hub that a resumed run takes over."""
    kept = {}
    for key, value in info.items():
        if not _is_name(key) or key in SET_BY_THE_RUN or key.startswith('best_ckpt'):
            continue
        if key == 'keep_ckpt_ids' and not _are_own_steps(value, source, run):
            continue
        if _holds_text(value):
            run.notes.append(f'{key} of the resumed checkpoint is text and is not taken over')
            continue
        kept[key] = value
    for key in [key for key in info if _is_name(key) and key.startswith('best_ckpt')]:
        score = key.replace('best_ckpt', 'best_score', 1)
        path = _own_best(info[key], run.folder)
        if path is None:
            # Without the file the score would keep this run from saving any.
            kept.pop(score, None)
            run.notes.append(
                f'the best checkpoint so far, {str(info[key])[:LONGEST_NAME]!r}, is not in '
                f'{run.folder} and stays as it is; this run looks for a best one of its own'
            )
        else:
            kept[key] = path
    return kept


def _own_best(path: Any, folder: str) -> str | None:
    """The run's own file that ``path`` names; ``None`` if it is none.

    A folder that was copied or moved still holds its best checkpoint, so only
    the name counts, and the file is looked for in the present folder.
    """
    if type(path) is not str or '\0' in path:
        return None
    name = re.split(r'[/\\]', path)[-1]
    if not BEST_NAME.fullmatch(name):
        return None
    own = os.path.join(folder, name)
    if '://' in folder:
        return path if path == f'{folder.rstrip("/")}/{name}' else None
    is_own = os.path.isfile(own) and not os.path.islink(own)
    return own if is_own else None


def _are_own_steps(steps: Any, source: str, run: Resumed) -> bool:
    """Whether these are numbers of checkpoints in the run's own folder."""
    if type(steps) is not list or len(steps) > MOST_KEPT or not all(map(_is_count, steps)):
        run.notes.append('keep_ckpt_ids of the resumed checkpoint are not taken over')
        return False
    # Another folder may have files of these numbers from another run.
    return Path(source).resolve().parent == Path(run.folder).resolve()


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_name(value: Any) -> bool:
    return type(value) is str and len(value) <= LONGEST_NAME and value.isprintable()


def _holds_text(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_text(item) for item in value.values())
    if isinstance(value, (list, tuple, set)):
        return any(map(_holds_text, value))
    return isinstance(value, (str, bytes, bytearray, os.PathLike))
