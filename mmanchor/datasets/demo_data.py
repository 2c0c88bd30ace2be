"""Make the demo data set: offline, repeatable, and all or nothing."""
import json
import multiprocessing
import os
import shutil
import signal
import socket
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

import cv2
from rich.progress import (BarColumn, MofNCompleteColumn, Progress, TextColumn,
                           TimeElapsedColumn, TimeRemainingColumn)

from ..apis.errors import UserError
from .classes import DEMO_CLASSES, THINGS
from .scenes import SceneStyle
from .writers import (LAYOUTS, SPLITS, SceneJob, SceneRecord, make_folders,
                      write_coco_index, write_scene)

MANIFEST = 'demo_data.json'

# Part of the manifest: raise it when the same arguments give other files.
GENERATOR_VERSION = 1


@dataclass(frozen=True)
class DemoData:
    """A demo data set on disk.

    Attributes:
        root: Its folder, holding ``ade`` and/or ``coco`` and the manifest.
        parameters: What it was made from.
        files: How many files it has, the manifest not counted.
        images: Images per split.
        images_with: Per split, how many masks show each class.
        instances: Per split, how many COCO annotations of each class.
        built: Whether this call made it (or found it complete).
    """

    root: Path
    parameters: Dict[str, object]
    files: int
    images: Dict[str, int]
    images_with: Dict[str, Dict[str, int]]
    instances: Dict[str, Dict[str, int]]
    built: bool


def make_demo_data(root: Union[str, Path],
                   *,
                   seed: int = 0,
                   num_train: int = 1000,
                   num_val: int = 200,
                   size: Tuple[int, int] = (160, 160),
                   layout: str = 'both',
                   style: SceneStyle = SceneStyle(),
                   overwrite: bool = False,
                   processes: Optional[int] = None,
                   progress: bool = True) -> DemoData:
    """Render the demo scenes into the layouts of ADE20K and COCO.

    Files are bit for bit the same for the same arguments and versions of
    numpy and OpenCV, however many processes draw them. A data set that is
    already there, made from the same arguments, is kept. The folder appears
    under its name only when it is complete.

    Args:
        root: Folder to make.
        seed: Seed of all scenes, >= 0.
        num_train: Training images, >= 1.
        num_val: Validation images, >= 1; their scenes come from another
            stream of random numbers than the training scenes.
        size: Height and width of an image, pixels, each >= 32.
        layout: 'ade', 'coco' or 'both' (images are shared by hard link).
        style: How difficult the scenes are.
        overwrite: Replace a demo data set made from other arguments.
        processes: How many draw at once; ``None`` takes the CPU's cores.
        progress: Whether to show a progress bar.

    Returns:
        Where the data set lies and what it holds.

    Raises:
        UserError: If an argument is out of range, or ``root`` holds
            something else.
    """
    root = Path(root)
    _check(seed, num_train, num_val, size, layout)
    parameters = json.loads(
        json.dumps(
            dict(
                generator=GENERATOR_VERSION,
                seed=seed,
                num_train=num_train,
                num_val=num_val,
                size=size,
                layout=layout,
                style=asdict(style))))
    found = _find(root, parameters, overwrite)
    if found is not None:
        return found

    counts = dict(zip((split.name for split in SPLITS), (num_train, num_val)))
    temporary = _temporary(root)
    try:
        make_folders(temporary, layout)
        jobs = [
            SceneJob(temporary, layout, split, index, seed, tuple(size), style)
            for split in SPLITS for index in range(counts[split.name])
        ]
        records = list(_run(jobs, processes, progress))
        manifest = _index(temporary, layout, size, counts, records)
        manifest = dict(
            parameters=parameters, files=_count_files(temporary), **manifest)
        (temporary / MANIFEST).write_text(
            json.dumps(manifest, indent=2) + '\n', encoding='utf-8')
        _move(temporary, root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return DemoData(root=root, built=True, **manifest)


def _check(seed: int, num_train: int, num_val: int, size: Sequence[int],
           layout: str) -> None:
    for name, value, least in (('seed', seed, 0), ('num_train', num_train, 1),
                               ('num_val', num_val, 1)):
        if value < least:
            raise UserError(f'{name} must be at least {least}, not {value}')
    if len(size) != 2 or min(size) < 32:
        raise UserError('size must be a height and a width of at least 32 '
                        f'pixels, not {tuple(size)}')
    if layout not in LAYOUTS:
        raise UserError(
            f'layout must be one of {", ".join(LAYOUTS)}, not {layout!r}')


def _find(root: Path, parameters: dict, overwrite: bool) -> Optional[DemoData]:
    """The data set if it is already there; refuses to replace another."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding='utf-8'))
        made_from = manifest['parameters']
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f'{root} holds something that is not a demo data set (it has no '
            f'valid {MANIFEST}); choose another folder') from None
    if made_from == parameters:
        complete = _count_files(root) == manifest['files']
        return DemoData(root, built=False, **manifest) if complete else None
    if overwrite:
        return None
    differing = sorted(name for name in {*parameters, *made_from}
                       if parameters.get(name) != made_from.get(name))
    changes = ', '.join(f'{name}: {made_from.get(name)} there, '
                        f'{parameters.get(name)} asked' for name in differing)
    raise UserError(f'{root} holds a demo data set made from other '
                    f'parameters ({changes}); choose another folder, or '
                    'replace it with --overwrite (overwrite=True)')


def _count_files(root: Path) -> int:
    found = sum(len(files) for _, _, files in os.walk(root))
    return found - (root / MANIFEST).is_file()


def _temporary(root: Path) -> Path:
    """A folder beside ``root``; removes those of processes that died."""
    root.parent.mkdir(parents=True, exist_ok=True)
    prefix = f'{root.name}.tmp-{socket.gethostname()}-'
    for leftover in root.parent.glob(f'{prefix}*'):
        pid = leftover.name[len(prefix):]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(leftover, ignore_errors=True)
    temporary = root.parent / f'{prefix}{os.getpid()}'
    temporary.mkdir()
    return temporary


def _alive(pid: int) -> bool:
    if os.name != 'posix':  # There, asking would end the process.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return pid != os.getpid()


def _move(temporary: Path, root: Path) -> None:
    """Give the finished folder its name, replacing what is there."""
    old = temporary.with_name(f'{temporary.name}.old')
    if root.exists():
        os.replace(root, old)
    os.replace(temporary, root)
    shutil.rmtree(old, ignore_errors=True)


def _start_worker() -> None:
    # The parent alone answers Ctrl+C, and one process uses one core.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    # A worker of a killed parent would wait for its next job for ever.
    multiprocessing.parent_process().join()
    os._exit(1)


def _run(jobs: List[SceneJob], processes: Optional[int],
         progress: bool) -> Iterator[SceneRecord]:
    """Write the scenes in parallel; yields their records in order."""
    processes = min(processes or os.cpu_count() or 1, len(jobs))
    bar = Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        disable=not progress)
    with ProcessPoolExecutor(processes, initializer=_start_worker) as pool:
        try:
            # Workers are forked here, before the bar starts its thread.
            records = pool.map(write_scene, jobs, chunksize=8)
            with bar:
                yield from bar.track(
                    records, len(jobs), description='demo scenes')
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _index(root: Path, layout: str, size: Tuple[int, int], counts: Dict[str,
                                                                        int],
           records: List[SceneRecord]) -> Dict[str, dict]:
    """Write COCO's indices and count the classes of each split."""
    images_with, instances, start = {}, {}, 0
    names = {thing.category_id: thing.name for thing in THINGS}
    for split in SPLITS:
        mine = records[start:start + counts[split.name]]
        start += len(mine)
        if layout != 'ade':
            write_coco_index(root, split, size, mine)
        seen = Counter(name for record in mine for name in record.images_with)
        drawn = Counter(names[annotation['category_id']] for record in mine
                        for annotation in record.annotations)
        images_with[split.name] = {name: seen[name] for name in DEMO_CLASSES}
        instances[split.name] = {name: drawn[name] for name in names.values()}
    return dict(images=counts, images_with=images_with, instances=instances)
