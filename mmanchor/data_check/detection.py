"""Check of annotation files in COCO's format (mmdet's ``CocoDataset``)."""

import os.path as osp
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..datasets.class_names import near
from ..datasets.coco_file import (
    LOST,
    MEANINGS,
    REPAIRED,
    TOLERANCE,
    find_faults,
    is_box,
    is_id,
    is_number,
    read_coco,
    segmentation_faults,
)
from ..utils.progress import Track
from .images import ImageFacts, add_image_problems, decoding_of, in_other_case, read_image_facts
from .report import MANY, SplitReport, read_all, spread
from .sources import DataSource, require_paths

# Faults that evaluation cannot stand: pycocotools reads the file again.
FOR_EVALUATION = ('annotation_id', 'area', 'iscrowd')
Entry = dict[str, Any]


def check(source: DataSource, limit: int | None, track: Track) -> SplitReport:
    """Check one data set.

    Args:
        source: A data set of detection.
        limit: Read at most this many images; ``None`` reads all.
        track: Shows progress.

    Returns:
        What was found.

    Raises:
        UserError: If the file or a folder is missing, or the file is not
            COCO's format.
    """
    require_paths(source)
    data = read_coco(source.ann_file)
    images, annotations, categories = (data[key] for key in ('images', 'annotations', 'categories'))
    report = SplitReport(
        [source.split],
        source.cls.__name__,
        [source.ann_file, source.folder('img') or ''],
        dict(images=len(images), annotations=len(annotations), categories=len(categories)),
    )
    names = [each['name'] for each in categories if isinstance(each.get('name'), str)]
    _check_names(report, source, names)
    faults = find_faults(data)
    if _add_unit_problem(report, data):
        faults.pop('box_outside', None)
    _add_faults(report, source, faults, len(annotations))
    _check_emptiness(report, source, data)
    if any(step.get('with_mask') for step in source.pipeline):
        report.add(
            'segmentation',
            'annotations without a mask, which with_mask=True in the pipeline loads; write '
            'polygons [[x, y, x, y, x, y, ...]] or run lengths {size, counts}',
            segmentation_faults(annotations),
            fatal=True,
        )
    _count_classes(report, source, data)
    _check_images(report, source, images, limit, track)
    return report


def _add_faults(
    report: SplitReport, source: DataSource, faults: dict[str, list[str]], total: int
) -> None:
    """Record the faults of entries; what is fatal depends on who reads them."""
    strict = source.cls.__module__.startswith('mmanchor.')
    for code, message in MEANINGS.items():
        found = faults.get(code, [])
        if code in LOST:
            fatal = len(found) >= max(1, MANY * total)
        elif code in REPAIRED:
            fatal = source.split != 'train' and code in FOR_EVALUATION
            # mmdet's own class stops at these.
            fatal |= not strict and code in ('annotation_id', 'area')
        else:
            fatal = code not in ('duplicate_file', 'zero_id')
        if code != 'zero_id' or source.split != 'train':
            report.add(code, message, found, fatal)


def _check_names(report: SplitReport, source: DataSource, names: Sequence[str]) -> None:
    """Compare the categories of the file with the classes of metainfo."""
    classes = source.classes
    absent = [name for name in classes if name not in names]
    extra = [name for name in names if name not in classes]
    report.add(
        'class_not_in_file',
        'classes of metainfo that the file does not have',
        [name + near(name, extra) for name in absent],
        fatal=True,
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
    if not absent and order != list(classes) and len(set(order)) == len(order):
        report.add(
            'class_order',
            'metainfo lists the classes in another order than '
            'the file; mmdet numbers them by the file, so that names would '
            f'be swapped: write classes={tuple(order)}',
            fatal=True,
        )


def _add_unit_problem(report: SplitReport, data: dict[str, list[Entry]]) -> bool:
    """Record boxes in other units than pixels, or corners; True if there are."""
    sizes = {each['id']: each for each in data['images'] if is_id(each.get('id'))}
    boxes = []
    for each in data['annotations']:
        image = sizes.get(each.get('image_id')) if is_id(each.get('image_id')) else None
        if image is not None and is_box(each.get('bbox')) and _has_size(image):
            boxes.append((each['bbox'], image['width'], image['height']))
    narrow = sum(0 < min(box[2:]) < 1 for box, _, _ in boxes)
    if boxes and all(max(map(abs, box)) <= 1 for box, _, _ in boxes):
        report.add(
            'normalized_boxes',
            'all boxes lie between 0 and 1: they are fractions of the image; multiply x and '
            'width by the width, y and height by the height of the image',
            fatal=True,
        )
        return True
    if _are_corners(boxes):
        report.add(
            'corner_boxes',
            'the boxes are corners [left, top, right, bottom], because read as [x, y, width, '
            'height] many extend beyond their image; write [left, top, right - left, '
            'bottom - top]',
            fatal=True,
        )
        return True
    if narrow:
        report.notes.append(f'{narrow} boxes are narrower than one pixel; mmdet leaves them out')
    return False


def _check_emptiness(report: SplitReport, source: DataSource, data: dict[str, list[Entry]]) -> None:
    """Images without boxes, and files without any box to find."""
    images = {each['id'] for each in data['images'] if is_id(each.get('id'))}
    used = (each.get('image_id') for each in data['annotations'])
    images -= {image for image in used if is_id(image)}
    report.counts['images without boxes'] = len(images)
    if not data['images']:
        report.add('no_images', f'{source.ann_file} lists no images', fatal=True)
    elif all(each.get('iscrowd') == 1 for each in data['annotations']):
        what = 'only crowds (iscrowd 1)' if data['annotations'] else 'no annotations'
        report.add(
            'no_boxes',
            f'{source.ann_file} has {what}, so there is nothing to learn or to score',
            fatal=source.split == 'train',
        )


def _are_corners(boxes: Sequence[tuple[list[float], float, float]]) -> bool:
    """Whether boxes are corners: as sizes many reach out, as corners none."""
    outside = 0
    for (x, y, w, h), width, height in boxes:
        if w <= x or h <= y or w > width + TOLERANCE or h > height + TOLERANCE:
            return False
        outside += x + w > width + TOLERANCE or y + h > height + TOLERANCE
    return outside >= max(1, 0.2 * len(boxes))


def _has_size(image: Entry) -> bool:
    return all(is_number(image.get(key)) and image[key] > 0 for key in ('width', 'height'))


def _count_classes(report: SplitReport, source: DataSource, data: dict[str, list[Entry]]) -> None:
    """For each class its boxes, crowds left out, and the images with it."""
    names = {
        each['id']: name if isinstance(name := each.get('name'), str) else None
        for each in data['categories']
        if is_id(each.get('id'))
    }
    boxes: Counter[Any] = Counter()
    images: dict[Any, set[int]] = {}
    for each in data['annotations']:
        category, image = each.get('category_id'), each.get('image_id')
        if is_id(category) and is_id(image) and each.get('iscrowd') != 1:
            boxes[names.get(category)] += 1
            images.setdefault(names.get(category), set()).add(image)
    for name in source.classes or names.values():
        report.per_class[str(name)] = dict(images=len(images.get(name, ())), boxes=boxes[name])


def _check_images(
    report: SplitReport, source: DataSource, images: Sequence[Entry], limit: int | None,
    track: Track,
) -> None:  # fmt: skip
    """Images that are missing, broken or of another size than recorded."""
    folder = source.folder('img') or ''
    named = [each for each in images if isinstance(each.get('file_name'), str)]
    chosen = spread(named, limit)
    paths = [osp.join(folder, each['file_name']) for each in chosen]
    missing = [path for path in paths if not osp.isfile(path)]
    report.add_files(
        'missing_image',
        'images of the file that are not there',
        [path + _other_case(path) for path in missing],
        len(paths),
    )
    gone = set(missing)
    there = [(path, each) for path, each in zip(paths, chosen, strict=True) if path not in gone]
    decoding = decoding_of(source.pipeline)
    facts = read_all(
        lambda pair: read_image_facts(pair[0], decoding), there, track, f'{source.split}: reading'
    )
    report.counts['files read'] = len(there)
    add_image_problems(report, [path for path, _ in there], facts)
    wrong, swapped = [], 0
    for (path, each), fact in zip(there, facts, strict=True):
        recorded = (each.get('width'), each.get('height'))
        if fact.size and fact.size != recorded:
            swapped += recorded == fact.size[::-1] and not fact.turned
            wrong.append(f'{path}: {_sizes(fact, recorded)}')
    cure = 'correct width and height in the file'
    if 2 * swapped > len(wrong):
        cure = 'swap width and height in the file'
    elif 2 * sum(fact.turned for fact in facts) > len(wrong):
        cure = 'record the size after the EXIF orientation was applied, as the pipeline reads it'
    report.add_files(
        'size',
        f'images of another size than the file records; {cure}',
        wrong,
        len(there),
        unreadable=False,
    )


def _other_case(path: str) -> str:
    found = in_other_case(path)
    return f' (there is {osp.basename(found)}; the case of letters matters)' if found else ''


def _sizes(fact: ImageFacts, recorded: tuple[Any, Any]) -> str:
    turned = ' (turned by its EXIF orientation)' if fact.turned else ''
    return f'{fact.size[0]} x {fact.size[1]}{turned}, recorded {recorded[0]} x {recorded[1]}'
