"""Check of images in folders by class (mmpretrain's ``CustomDataset``)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..datasets.class_names import near
from ..utils.errors import UserError
from ..utils.progress import Track
from .images import add_image_problems, decoding_of, read_image_facts
from .report import SplitReport, read_all, spread
from .sources import DataSource, require_paths


def check(source: DataSource, limit: int | None, track: Track) -> SplitReport:
    """Check one data set.

    Args:
        source: A data set of classification, such as ImageNet.
        limit: Read at most this many images; ``None`` reads all.
        track: Shows progress.

    Returns:
        What was found.

    Raises:
        UserError: If files are missing, or not in the layout that the data
            set expects.
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
    _check_labels(report, [each.get('gt_label') for each in samples], classes)
    _check_folders(report, sorted(getattr(dataset, 'folder_to_idx', {})), classes)
    chosen = spread(samples, limit)
    paths = [each['img_path'] for each in chosen]
    decoding = decoding_of(source.pipeline)
    facts = read_all(
        lambda path: read_image_facts(path, decoding), paths, track, f'{source.split}: reading'
    )
    report.counts['files read'] = len(paths)
    add_image_problems(report, paths, facts)
    return report


def _check_labels(report: SplitReport, labels: Sequence[Any], classes: Sequence[str]) -> None:
    """Classes without images, and labels without a class."""
    counts = Counter(labels)
    if set(counts) == {None}:
        return
    report.per_class = {name: dict(images=counts[i]) for i, name in enumerate(classes)}
    report.add(
        'empty_class',
        'classes without an image',
        [name for i, name in enumerate(classes) if not counts[i]],
    )
    report.add(
        'unknown_label',
        f'labels outside 0 to {len(classes) - 1}, as there are {len(classes)} classes',
        [label for label in counts if not isinstance(label, int) or not 0 <= label < len(classes)],
        fatal=True,
    )


def _check_folders(report: SplitReport, folders: Sequence[str], classes: Sequence[str]) -> None:
    """Compare the names of the folders, which number the labels, with the classes."""
    places = {name: place for place, name in enumerate(folders)}
    # Other names than those of the folders, as ImageNet's, may be intended.
    if all(places.get(name, label) == label for label, name in enumerate(classes)):
        return
    if set(folders) == set(classes):
        report.add(
            'class_order',
            'metainfo lists the classes in another order than '
            'the folders are sorted; mmpretrain numbers them by the folders, '
            f'so that names would be swapped: write classes={tuple(folders)}',
            fatal=True,
        )
        return
    absent = [name for name in classes if name not in folders]
    extra = [name for name in folders if name not in classes]
    report.add(
        'folder_names',
        f'classes of metainfo without a folder of their name (folders without a class: '
        f'{", ".join(extra) or "none"}); mmpretrain numbers the labels by the sorted folders, '
        'so that all labels after the first difference are shifted',
        [name + near(name, extra) for name in absent] or extra,
        fatal=True,
    )


def compare_splits(sources: Sequence[DataSource], report: SplitReport) -> None:
    """Compare the folders of the splits, each of which numbers its own labels.

    Args:
        sources: The data sets of all splits; those of other tasks are skipped.
        report: Receives a problem for each split that differs from the first.
    """
    sources = [source for source in sources if source.task == 'classification']
    folders = [(source, class_folders(source)) for source in sources]
    folders = [(source, names) for source, names in folders if names]
    for source, names in folders[1:]:
        first, expected = folders[0]
        if names == expected:
            continue
        absent = [name for name in expected if name not in names]
        extra = [name for name in names if name not in expected]
        report.add(
            'folders_of_splits',
            f'the folders of {source.split}_dataloader differ from those of '
            f'{first.split}_dataloader, and each split numbers its labels by its sorted folders: '
            f'{source.folder("img_path")} lacks {_some(absent, extra)} and has in addition '
            f'{_some(extra, absent)}; use the same folders, empty ones too',
            fatal=True,
        )


def class_folders(source: DataSource) -> list[str]:
    """The folders that number the labels; none if a file does.

    Args:
        source: A data set of classification.
    """
    folder = Path(source.folder('img_path') or '')
    in_folders = source.cfg.get('data_root') or source.cfg.get('data_prefix')
    if source.ann_file or not in_folders or not folder.is_dir():
        return []
    return sorted(each.name for each in folder.iterdir() if each.is_dir())


def require_folders(source: DataSource) -> None:
    """Stop if there are not as many folders as classes.

    Args:
        source: A data set of classification; one whose classes are given by
            an annotation file, or that has no folders, passes.

    Raises:
        UserError: Naming both numbers, and what to set.
    """
    given = (source.get('metainfo') or {}).get('classes')
    classes = given or (getattr(source.cls, 'METAINFO', None) or {}).get('classes')
    found = class_folders(source)
    if not isinstance(classes, (list, tuple)) or not found or len(found) == len(classes):
        return
    raise UserError(
        f'{source.split}_dataloader: {source.folder("img_path")} has {len(found)} folders '
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
    # It reports errors in many ways, by assertions too.
    except Exception as error:
        raise UserError(
            f'{source.split}_dataloader: {source.cls.__name__} cannot list its images: {error}'
        ) from error


def _some(names: Sequence[str], others: Sequence[str]) -> str:
    """The first names with hints at similar ones; ``nothing`` if there are none."""
    shown = ', '.join(name + near(name, others) for name in names[:5])
    return (shown + (', ...' if names[5:] else '')) or 'nothing'
