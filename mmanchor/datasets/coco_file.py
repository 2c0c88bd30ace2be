"""Annotation files in COCO's format: read them and list what is wrong."""

import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..utils.errors import UserError

# The lists that a file must have.
LISTS = ('images', 'annotations', 'categories')
# Pixels by which a box may extend beyond its image: annotation tools round.
TOLERANCE = 1.0

# What each fault means, and its cure. Codes are those of `mmanchor check-data`.
MEANINGS = {
    'image_id': 'images whose id is not a whole number; write "id": 12, not "12"',
    'image_size': 'images whose width or height is not a positive number of pixels; '
    'write both as numbers, width first',
    'file_name': 'images without a file_name; write the path below data_prefix.img',
    'duplicate_image': 'images that share their id; give each image its own id and '
    'correct image_id of the annotations',
    'duplicate_file': 'images that share their file_name; merge their entries',
    'category_id': 'categories whose id is not a whole number',
    'category_name': 'categories whose name is not text; write the name of the class',
    'duplicate_category': 'categories that share their id or name; keep one of each',
    'image_reference': 'annotations whose image_id is not a whole number; write '
    '"image_id": 12, not "12"',
    'unknown_image': 'annotations of images that the file lacks, which are ignored; '
    'correct image_id',
    'unknown_category': 'annotations of categories that the file lacks, which are ignored; '
    'correct category_id',
    'annotation_id': 'annotations whose id is missing, repeated, or not a whole number; '
    'number them 1, 2, 3, ...',
    'zero_id': 'annotations with id 0, which pycocotools never counts as found; number them from 1',
    'not_a_box': 'boxes that are not four finite numbers x, y, width, height',
    'empty_box': 'boxes of zero or negative width or height, which are ignored',
    'box_outside': 'boxes [x, y, width, height] that extend beyond their image (width, height)',
    'area': 'annotations whose area is missing or not a number; write the area of the '
    'mask, or width * height of the box',
    'iscrowd': 'annotations whose iscrowd is missing or not 0 or 1, which the evaluation '
    'needs; write "iscrowd": 0',
}
# Faults that mmanchor.CocoDataset repairs in memory when it trains.
REPAIRED = ('annotation_id', 'area', 'iscrowd')
# Faults of single boxes, which are left out.
LOST = ('unknown_image', 'unknown_category', 'empty_box', 'box_outside')


def read_coco(path: str | os.PathLike) -> dict[str, list[dict[str, Any]]]:
    """Read a file and check that its lists are there.

    Args:
        path: A JSON file.

    Returns:
        Its content.

    Raises:
        UserError: If it is not a JSON file in COCO format.
    """
    try:
        with open(path, encoding='utf-8') as file:
            data = json.load(file)
    except RecursionError:
        raise UserError(
            f'cannot read the annotations {path}: the JSON is nested too deeply; '
            'it must be a JSON file in COCO format'
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(
            f'cannot read the annotations {path}: {error}; it must be a JSON file in COCO format'
        ) from error
    for key in LISTS:
        entries = data.get(key) if isinstance(data, dict) else None
        if not isinstance(entries, list):
            raise UserError(f'{path} has no list {key!r}; it must be a JSON file in COCO format')
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise UserError(
                    f'{path}: {key}[{index}] must be an object with fields, got '
                    f'{type(entry).__name__}; it must be a JSON file in COCO format'
                )
    return data


def find_faults(data: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """List what is wrong in a file, by the codes of :data:`MEANINGS`.

    Args:
        data: What :func:`read_coco` returned.

    Returns:
        For each code that occurs the entries, such as
        ``'images[3]: file_name None'``.
    """
    found: dict[str, list[str]] = {}
    sizes = {}
    for code, entry in _image_faults(data['images']):
        found.setdefault(code, []).append(entry)
    for image in data['images']:
        if is_id(image.get('id')):
            sizes[image['id']] = image
    for code, entry in _category_faults(data['categories']):
        found.setdefault(code, []).append(entry)
    known = {each['id'] for each in data['categories'] if is_id(each.get('id'))}
    for code, entry in _annotation_faults(data['annotations'], sizes, known):
        found.setdefault(code, []).append(entry)
    return found


def summary(code: str, entries: list[str]) -> str:
    """A fault with its number and the first entries."""
    more = ', ...' if entries[3:] else ''
    return f'{len(entries)} {MEANINGS[code]} ({"; ".join(entries[:3])}{more})'


def segmentation_faults(annotations: list[dict[str, Any]]) -> list[str]:
    """Annotations whose mask is neither polygons nor run lengths.

    Args:
        annotations: Those of a file.

    Returns:
        One text per annotation.
    """
    return [
        f'annotation {short(each.get("id"))}: segmentation {short(each.get("segmentation"))}'
        for each in annotations
        if not _is_mask(each.get('segmentation'))
    ]


def _is_mask(value: Any) -> bool:
    if isinstance(value, dict):
        size = value.get('size')
        sizes = isinstance(size, list) and len(size) == 2 and all(map(is_id, size))
        return sizes and isinstance(value.get('counts'), (list, str))
    return isinstance(value, list) and any(
        isinstance(polygon, list)
        and len(polygon) >= 6
        and len(polygon) % 2 == 0
        and all(map(is_number, polygon))
        for polygon in value
    )


def is_id(value: Any) -> bool:
    """Whether a value is a whole number; True and False are none."""
    return type(value) is int


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that fits a float.

    Example:
        >>> is_number(3), is_number('3'), is_number(True), is_number(10**400)
        (True, False, False, False)
    """
    if type(value) is int:
        return abs(value) < 1e300
    return type(value) is float and math.isfinite(value)


def is_box(value: Any) -> bool:
    """Whether a value is a list of four finite numbers.

    Example:
        >>> is_box([1, 2, 3.5, 4]), is_box([1, 2, 3]), is_box(None)
        (True, False, False)
    """
    return isinstance(value, list) and len(value) == 4 and all(map(is_number, value))


def _image_faults(images: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for index, image in enumerate(images):
        place = f'images[{index}]'
        if not is_id(image.get('id')):
            yield 'image_id', f'{place}: id {short(image.get("id"))}'
        name = image.get('file_name')
        if not isinstance(name, str) or not name:
            yield 'file_name', f'{place}: file_name {short(name)}'
        for key in ('width', 'height'):
            size = image.get(key)
            if not is_number(size) or size <= 0:
                yield 'image_size', f'{place}: {key} {short(size) if key in image else "missing"}'
    for code, key in (('duplicate_image', 'id'), ('duplicate_file', 'file_name')):
        for value in _repeated(images, key):
            yield code, f'{key} {short(value)}'


def _category_faults(categories: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for index, category in enumerate(categories):
        if not is_id(category.get('id')):
            yield 'category_id', f'categories[{index}]: id {short(category.get("id"))}'
        name = category.get('name')
        if not isinstance(name, str) or not name:
            yield 'category_name', f'categories[{index}]: name {short(name)}'
    for key in ('id', 'name'):
        for value in _repeated(categories, key):
            yield 'duplicate_category', f'{key} {short(value)}'


def _annotation_faults(
    annotations: list[dict[str, Any]], images: dict[int, dict[str, Any]], categories: set[int]
) -> Iterator[tuple[str, str]]:
    seen = set()
    for index, each in enumerate(annotations):
        number = each.get('id')
        place = f'annotation {number}' if is_id(number) else f'annotations[{index}]'
        if not is_id(number) or number in seen:
            yield 'annotation_id', f'annotations[{index}]: id {short(number)}'
        else:
            seen.add(number)
            if number == 0:
                yield 'zero_id', place
        image = each.get('image_id')
        if not is_id(image):
            yield 'image_reference', f'{place}: image_id {short(image)}'
        elif image not in images:
            yield 'unknown_image', f'{place}: image_id {image}'
        category = each.get('category_id')
        if not is_id(category) or category not in categories:
            yield 'unknown_category', f'{place}: category_id {short(category)}'
        if not is_number(each.get('area')):
            yield 'area', f'{place}: area {short(each.get("area"))}'
        if each.get('iscrowd') not in (0, 1) or not is_number(each.get('iscrowd')):
            yield 'iscrowd', f'{place}: iscrowd {short(each.get("iscrowd"))}'
        owner = images.get(image) if is_id(image) else None
        fault = _box_fault(each.get('bbox'), owner)
        if fault:
            size = f' in ({owner.get("width")}, {owner.get("height")})' if owner else ''
            yield fault, f'{place}: {short(each.get("bbox"))}{size}'


def _box_fault(box: Any, image: dict[str, Any] | None) -> str | None:
    """The code of what is wrong with a box; ``None`` if nothing is."""
    if not is_box(box):
        return 'not_a_box'
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return 'empty_box'
    if image is None or not is_number(image.get('width')) or not is_number(image.get('height')):
        return None
    if (
        min(x, y) < -TOLERANCE
        or x + w > image['width'] + TOLERANCE
        or y + h > image['height'] + TOLERANCE
    ):
        return 'box_outside'
    return None


def _repeated(entries: list[dict[str, Any]], key: str) -> list[Any]:
    """Values that several entries share."""
    values = (each.get(key) for each in entries)
    counts = Counter(value for value in values if isinstance(value, (int, str)))
    return [value for value, count in counts.items() if count > 1]


def short(value: Any, limit: int = 60) -> str:
    """A value as text that fits into a line, however large it is.

    Example:
        >>> short('12'), short(None)
        ("'12'", 'None')
    """
    if type(value) is int and not is_number(value):
        return f'a number of {value.bit_length()} bits'
    try:
        text = repr(value)
    # Numbers too long to print, lists nested too deeply.
    except (ValueError, RecursionError):
        return f'a {type(value).__name__}'
    return text if len(text) <= limit else f'{text[: limit - 3]}...'
