"""Make the demo data set: offline, reproducible, all or nothing."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ...utils.errors import UserError
from .classes import DEMO_CLASSES, THINGS
from .folders import whole_folder
from .scenes import SceneStyle
from .workers import scene_writers
from .writers import LAYOUTS, SPLITS, SceneJob, SceneRecord, make_folders, write_coco_index

MANIFEST = 'demo_data.json'

# Part of the manifest: raise it when the same arguments give different files.
GENERATOR_VERSION = 3

_DEFAULT_STYLE = SceneStyle()
_WORTH_A_PROCESS = 100  # Scenes; fewer are drawn faster than a process starts.


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
        built: True if this call wrote it, False if it was already complete.
    """

    root: Path
    parameters: dict[str, object]
    files: int
    images: dict[str, int]
    images_with: dict[str, dict[str, int]]
    instances: dict[str, dict[str, int]]
    built: bool


def make_demo_data(
    root: str | Path,
    *,
    seed: int = 0,
    num_train: int = 1000,
    num_val: int = 200,
    size: tuple[int, int] = (160, 160),
    layout: str = 'both',
    style: SceneStyle = _DEFAULT_STYLE,
    overwrite: bool = False,
    processes: int | None = None,
    progress: bool = True,
) -> DemoData:
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
        processes: Number of processes that draw, 1 for the calling one only;
            ``None`` takes up to one per core.
        progress: Whether to show a progress bar.

    Returns:
        The path and contents of the data set.

    Raises:
        UserError: If an argument is out of range, or ``root`` holds
            something else or cannot be written.
    """
    root = Path(root)
    _check_counts(
        seed=(seed, 0),
        num_train=(num_train, 1),
        num_val=(num_val, 1),
        processes=(1 if processes is None else processes, 1),
    )
    _check_choices(size, layout)
    parameters = json.loads(
        json.dumps(
            dict(
                generator=GENERATOR_VERSION,
                seed=seed,
                num_train=num_train,
                num_val=num_val,
                size=size,
                layout=layout,
                style=asdict(style),
            )
        )
    )
    found = _find(root, parameters, overwrite)
    if found is not None:
        return found

    counts = dict(zip((split.name for split in SPLITS), (num_train, num_val), strict=True))
    try:
        with whole_folder(root) as folder:
            make_folders(folder, layout)
            jobs = [
                SceneJob(folder, layout, split, index, seed, tuple(size), style)
                for split in SPLITS
                for index in range(counts[split.name])
            ]
            records = _run(jobs, processes, progress)
            manifest = dict(parameters=parameters, **_index(folder, layout, size, counts, records))
            (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + '\n', encoding='utf-8')
    except OSError as error:
        raise UserError(f'{root} cannot be written: {error}') from error
    return DemoData(root=root, built=True, **manifest)


def _check_counts(**arguments: tuple[int, int]) -> None:
    for name, (value, least) in arguments.items():
        if value < least:
            raise UserError(f'{name} must be at least {least}, not {value}')


def _check_choices(size: Sequence[int], layout: str) -> None:
    if len(size) != 2 or min(size) < 32:
        raise UserError(
            f'size must be a height and a width of at least 32 pixels, not {tuple(size)}'
        )
    if layout not in LAYOUTS:
        raise UserError(f'layout must be one of {", ".join(LAYOUTS)}, not {layout!r}')


def _find(root: Path, parameters: dict, overwrite: bool) -> DemoData | None:
    """The data set if it is already there; refuses to replace another."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding='utf-8'))
        made_from = manifest['parameters']
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f'{root} holds something that is not a demo data set (it has no '
            f'valid {MANIFEST}); choose another folder'
        ) from None
    if made_from == parameters:
        complete = _count_files(root) == manifest['files']
        return DemoData(root, built=False, **manifest) if complete else None
    if overwrite:
        return None
    differing = sorted(
        name for name in {*parameters, *made_from} if parameters.get(name) != made_from.get(name)
    )
    changes = ', '.join(
        f'{name}: {made_from.get(name)} there, {parameters.get(name)} requested'
        for name in differing
    )
    raise UserError(
        f'{root} holds a demo data set made from other '
        f'parameters ({changes}); choose another folder, remove '
        'this one, or replace it with make-demo-data --overwrite'
    )


def _count_files(root: Path) -> int:
    found = sum(len(files) for _, _, files in os.walk(root))
    return found - (root / MANIFEST).is_file()


def _run(jobs: list[SceneJob], processes: int | None, progress: bool) -> list[SceneRecord]:
    """Write the scenes; returns their records in order."""
    if processes is None:
        processes = min(os.cpu_count() or 1, 1 + len(jobs) // _WORTH_A_PROCESS)
    bar = Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        disable=not progress,
    )
    with scene_writers(processes) as write_all, bar:
        records = write_all(jobs)
        return list(bar.track(records, len(jobs), description='demo scenes'))


def _index(
    root: Path, layout: str, size: Sequence[int], counts: dict[str, int], records: list[SceneRecord]
) -> dict:
    """Write COCO's indices; returns the manifest's counts."""
    images_with, instances, start = {}, {}, 0
    names = {thing.category_id: thing.name for thing in THINGS}
    for split in SPLITS:
        mine = records[start : start + counts[split.name]]
        start += len(mine)
        if layout != 'ade':
            write_coco_index(root, split, size, mine)
        seen = Counter(name for record in mine for name in record.images_with)
        drawn = Counter(
            names[annotation['category_id']] for record in mine for annotation in record.annotations
        )
        images_with[split.name] = {name: seen[name] for name in DEMO_CLASSES}
        instances[split.name] = {name: drawn[name] for name in names.values()}
    return dict(
        files=_count_files(root), images=counts, images_with=images_with, instances=instances
    )
