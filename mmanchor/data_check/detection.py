"""Check of annotation files in COCO's format (mmdet's ``CocoDataset``)."""

import json
import math
import os.path as osp
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..datasets.coco_rules import is_box, near
from ..utils.errors import UserError
from ..utils.progress import Track
from .report import SplitReport, picture_error, read_all, spread
from .sources import DataSource, require_paths

# Pixels by which a box may stick out of its picture: annotation tools round.
_TOLERANCE = 1.0


def check(source: DataSource, limit: int | None, track: Track) -> SplitReport:
    """Check one data set.

    Args:
        source: A data set of detection.
        limit: Read at most this many pictures; ``None`` reads all.
        track: Shows progress.

    Returns:
        What was found.

    Raises:
        UserError: If the file or a folder is missing, or the file is not
            COCO's format.
    """
    require_paths(source)
    data = _load(source.ann_file)
    images, annotations = data['images'], data['annotations']
    report = SplitReport(
        [source.split], source.cls.__name__,
        [source.ann_file, source.folder('img') or ''],
        dict(images=len(images), annotations=len(annotations),
             categories=len(data['categories'])))  # yapf: disable
    for key, name in (
        ('images', 'id'),
        ('annotations', 'id'),
        ('categories', 'id'),
        ('images', 'file_name'),
        ('categories', 'name'),
    ):
        counts = Counter(each.get(name) for each in data[key])
        report.add(
            'duplicate',
            f'{key} that share their {name}',
            [value for value, count in counts.items() if count > 1],
        )
    _check_names(report, source, [each['name'] for each in data['categories']])
    _check_annotations(report, data)
    _check_pictures(report, source, spread(images, limit), track)
    return report


def _load(path: str) -> dict[str, list[dict[str, Any]]]:
    """Read the file and check that the lists and their keys are there."""
    try:
        with open(path, encoding='utf-8') as file:
            data = json.load(file)
    except (OSError, ValueError) as error:
        raise UserError(
            f'cannot read the annotations {path}: {error}; it must be a JSON file in COCO format'
        ) from error
    needed = dict(
        images=('id', 'file_name', 'width', 'height'),
        annotations=('id', 'image_id', 'category_id', 'bbox'),
        categories=('id', 'name'),
    )
    for key, fields in needed.items():
        entries = data.get(key) if isinstance(data, dict) else None
        if not isinstance(entries, list):
            raise UserError(f'{path} holds no list {key!r}; it must be a JSON file in COCO format')
        for index, entry in enumerate(entries):
            missing = [name for name in fields if name not in entry]
            if missing:
                raise UserError(f'{path}: {key}[{index}] lacks {", ".join(missing)}')
    return data


def _check_names(report: SplitReport, source: DataSource, names: Sequence[str]) -> None:
    """Compare the categories of the file with the classes of metainfo."""
    classes = source.classes
    absent = [name for name in classes if name not in names]
    extra = [name for name in names if name not in classes]
    report.add(
        'class_not_in_file',
        'classes of metainfo that the file does not have',
        [name + near(name, extra) for name in absent],
    )
    if absent:
        report.add(
            'category_not_in_metainfo',
            'categories of the file that metainfo does not have',
            [name + near(name, absent) for name in extra],
        )
    elif extra:
        report.notes.append(
            f'{len(extra)} categories of the file are left out, as metainfo '
            f'does not name them: {", ".join(extra[:8])}'
            f'{", ..." if extra[8:] else ""}'
        )
    order = [name for name in names if name in classes]
    if not absent and order != list(classes):
        report.add(
            'class_order',
            'metainfo lists the classes in another order than '
            'the file; mmdet numbers them by the file, so that names would '
            f'be swapped: write classes={tuple(order)}',
            1,
        )


def _check_annotations(report: SplitReport, data: dict[str, Any]) -> None:
    """Annotations of nothing, and boxes that cannot be."""
    sizes = {each['id']: (each['width'], each['height'])
             for each in data['images']}  # yapf: disable
    known = {each['id'] for each in data['categories']}
    found: dict[str, list[str]] = {}
    for each in data['annotations']:
        if each['image_id'] not in sizes:
            found.setdefault('unknown_image', []).append(
                f'annotation {each["id"]}: image_id {each["image_id"]}'
            )
            continue
        if each['category_id'] not in known:
            found.setdefault('unknown_category', []).append(
                f'annotation {each["id"]}: category_id {each["category_id"]}'
            )
        fault = _box_fault(each['bbox'], *sizes[each['image_id']])
        if fault:
            found.setdefault(fault, []).append(
                f'annotation {each["id"]}: {each["bbox"]} in {sizes[each["image_id"]]}'
            )
    for code, message in (
        ('unknown_image', 'annotations of images that the file lacks'),
        ('unknown_category', 'annotations of categories that the file lacks'),
        ('not_a_box', 'boxes that are not four finite numbers x, y, w, h'),
        ('empty_box', 'boxes of zero or negative area'),
        ('box_outside', 'boxes [x, y, w, h] that reach out of their picture of (width, height)'),
    ):
        report.add(code, message, found.get(code, ()))
    report.add(
        'no_area',
        'annotations without area, which mmdet reads',
        [f'annotation {each["id"]}' for each in data['annotations'] if 'area' not in each],
    )
    annotated = {each['image_id'] for each in data['annotations']}
    empty = len(sizes.keys() - annotated)
    report.counts['images without boxes'] = empty
    if any(
        0 < min(each['bbox'][2:], default=0) < 1
        for each in data['annotations']
        if not _box_fault(each['bbox'], math.inf, math.inf)
    ):
        report.notes.append('some boxes are narrower than one pixel; mmdet leaves them out')


def _box_fault(box: Any, width: float, height: float) -> str | None:
    """The code of what is wrong with a box; ``None`` if nothing is."""
    if not is_box(box):
        return 'not_a_box'
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return 'empty_box'
    if min(x, y) < -_TOLERANCE or x + w > width + _TOLERANCE or y + h > height + _TOLERANCE:
        return 'box_outside'
    return None


def _check_pictures(
    report: SplitReport, source: DataSource, images: Sequence[dict[str, Any]], track: Track
) -> None:
    """Pictures that are missing, broken or of another size than told."""
    folder = source.folder('img') or ''
    paths = [osp.join(folder, each['file_name']) for each in images]
    missing = {path for path in paths if not osp.isfile(path)}
    sizes: list[list[int]] = [[] for _ in paths]

    def read(index: int) -> str | None:
        if paths[index] in missing:
            return None
        return picture_error(paths[index], sizes[index])

    errors = read_all(read, range(len(paths)), track, f'{source.split}: reading')
    report.counts['files read'] = len(paths) - len(missing)
    report.add(
        'missing_image',
        'pictures of the file that are not there',
        [path for path in paths if path in missing],
    )
    report.add(
        'unreadable_image',
        'pictures that cannot be read',
        [f'{path}: {error}' for path, error in zip(paths, errors) if error],
    )
    report.add(
        'size',
        'pictures of another size than the file says',
        [
            f'{path}: {size}, not {[each["width"], each["height"]]}'
            for path, size, each in zip(paths, sizes, images)
            if size and size != [each['width'], each['height']]
        ],
    )
