"""Detections as files that COCO's tools read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..datasets.class_names import class_fault
from ..utils.errors import UserError
from ..utils.files import PathLike, write_json

PREDICTIONS_FILE = 'predictions.json'
RESULTS_FILE = 'results.json'


class CocoResults:
    """Detections with the ids that COCO's tools need.

    Two files are written: ``predictions.json``, an annotation file with
    the names of images and classes and with scores, and ``results.json``, a
    list of boxes in COCO's format of results, for ``COCO.loadRes`` of the
    first file or, if it was given, of ``ann_file``.

    Args:
        classes: Class names, in the order of the labels.
        ann_file: An annotation file whose ids are taken, so that the results
            can be scored against it. Otherwise images are numbered from 1,
            and the id of a category is its label, from 0.

    Raises:
        UserError: If ``ann_file`` is not COCO's format or lacks a class.
    """

    def __init__(self, classes: Sequence[str], ann_file: PathLike | None = None) -> None:
        self._image_ids: dict[str, Any] | None = None
        category_ids: Sequence[Any] = range(len(classes))
        if ann_file is not None:
            self._image_ids, by_name = _read_ids(ann_file, classes)
            category_ids = [by_name[name] for name in classes]
        self._category_ids = category_ids
        self._data: dict[str, list[dict]] = dict(
            images=[],
            annotations=[],
            categories=[
                dict(id=id_, name=name) for id_, name in zip(category_ids, classes, strict=True)
            ],
        )

    def lists(self, file: str) -> bool:
        """Whether an image has an id: without ``ann_file`` each has."""
        return self._image_ids is None or file in self._image_ids

    def add(self, file: str, width: int, height: int, found: Sequence[dict[str, Any]]) -> None:
        """Add what was found in an image.

        Args:
            file: Its name, as in ``ann_file``; it must be listed there.
            width, height: Of the image (pixels).
            found: What ``DetectionResult.annotations`` gave.
        """
        if self._image_ids is None:
            image_id = len(self._data['images']) + 1
        else:
            image_id = self._image_ids[file]
        self._data['images'].append(dict(id=image_id, file_name=file, width=width, height=height))
        for one in found:
            # pycocotools takes the id 0 for "no annotation".
            number = len(self._data['annotations']) + 1
            category_id = self._category_ids[one['category_id']]
            self._data['annotations'].append(
                {**one, 'id': number, 'image_id': image_id, 'category_id': category_id}
            )

    def write(self, folder: PathLike) -> None:
        """Write both files into ``folder``."""
        keys = ('image_id', 'category_id', 'bbox', 'score', 'segmentation')
        results = [
            {key: one[key] for key in keys if key in one} for one in self._data['annotations']
        ]
        for name, data in ((PREDICTIONS_FILE, self._data), (RESULTS_FILE, results)):
            write_json(Path(folder, name), data, indent=None)


def _read_ids(path: PathLike, classes: Sequence[str]) -> tuple:
    """Ids of the images of an annotation file, and of its categories.

    Returns:
        A dict by file name, and one by the category's name.
    """
    try:
        data = json.loads(Path(path).read_text(encoding='utf-8'))
        images = {each['file_name']: each['id'] for each in data['images']}
        names = [each['name'] for each in data['categories']]
        categories = {each['name']: each['id'] for each in data['categories']}
    except OSError as error:
        raise UserError(f'--ann-file {path}: {error.strerror}') from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'--ann-file {path} is not a JSON file in COCO format: {type(error).__name__}: {error}'
        ) from error
    # Any order will do: names are looked up, not counted.
    order = sorted(classes, key=names.index) if set(classes) <= set(names) else classes
    fault = class_fault(order, names)
    if fault:
        raise UserError(f'--ann-file {path}: {fault}')
    return images, categories
