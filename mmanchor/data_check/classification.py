"""Check of pictures in folders by class (mmpretrain's ``CustomDataset``)."""

from collections import Counter
from pathlib import Path
from typing import Any

from ..utils.errors import UserError
from ..utils.progress import Track
from .report import SplitReport, picture_error, read_all, spread
from .sources import DataSource, require_paths


def check(source: DataSource, limit: int | None, track: Track) -> SplitReport:
    """Check one data set.

    Args:
        source: A data set of classification, such as ImageNet.
        limit: Read at most this many pictures; ``None`` reads all.
        track: Shows progress.

    Returns:
        What was found.

    Raises:
        UserError: If files are missing, or are not laid out as the data set
            wants them.
    """
    require_paths(source)
    require_folders(source)
    dataset = _build(source)
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    classes = dataset.CLASSES or ()
    report = SplitReport(
        [source.split],
        source.cls.__name__,
        [dataset.ann_file or dataset.img_prefix],
        dict(images=len(samples), classes=len(classes)),
    )
    labels = Counter(each.get('gt_label') for each in samples)
    if set(labels) != {None}:
        report.add(
            'empty_class',
            'classes without a picture',
            [name for i, name in enumerate(classes) if not labels[i]],
        )
        report.add(
            'unknown_label',
            f'labels outside 0 to {len(classes) - 1}, as there are {len(classes)} classes',
            [label for label in labels if not 0 <= label < len(classes)],
        )
    folders = sorted(getattr(dataset, 'folder_to_idx', {}))
    if set(folders) == set(classes) and folders != list(classes):
        report.add(
            'class_order',
            'metainfo lists the classes in another order than '
            'the folders are sorted; mmpretrain numbers them by the folders, '
            f'so that names would be swapped: write classes={tuple(folders)}',
            1,
        )
    chosen = spread(samples, limit)
    errors = read_all(
        lambda each: picture_error(each['img_path'], []),
        chosen,
        track,
        f'reading pictures of {source.split}',
    )
    faults: list[str] = [
        f'{each["img_path"]}: {error}' for each, error in zip(chosen, errors) if error
    ]
    report.add('unreadable', 'pictures that cannot be read', faults)
    return report


def require_folders(source: DataSource) -> None:
    """Stop if there are not as many folders as classes.

    Args:
        source: A data set of classification; one that is told its classes by
            an annotation file, or has no folders, passes.

    Raises:
        UserError: Naming both numbers, and what to set.
    """
    given = (source.get('metainfo') or {}).get('classes')
    classes = given or (getattr(source.cls, 'METAINFO', None) or {}).get('classes')
    folder = Path(source.folder('img_path') or '')
    told = source.ann_file or not isinstance(classes, (list, tuple))
    in_folders = source.cfg.get('data_root') or source.cfg.get('data_prefix')
    if told or not in_folders or not folder.is_dir():
        return
    found = sorted(each.name for each in folder.iterdir() if each.is_dir())
    if found and len(found) != len(classes):
        raise UserError(
            f'{source.split}_dataloader: {folder} has {len(found)} folders '
            f'({", ".join(found[:3])}, ...), and there are {len(classes)} '
            'classes. For classes of your own set dataset.metainfo.classes '
            'of both loaders to the names of the folders, and '
            'model.head.num_classes and data_preprocessor.num_classes to '
            'their number'
        )


def _build(source: DataSource) -> Any:
    """The data set with its list of files read, and no transforms."""
    cfg = {k: v for k, v in source.cfg.items() if k not in ('type', '_scope_')}
    try:
        return source.cls(**dict(cfg, pipeline=(), lazy_init=False))
    # It finds out what is wrong in many ways, by assertions too.
    except Exception as error:
        raise UserError(
            f'{source.split}_dataloader: {source.cls.__name__} cannot list its pictures: {error}'
        ) from error
