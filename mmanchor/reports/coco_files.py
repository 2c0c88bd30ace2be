"""Detection reports from files: predictions and truth in COCO's formats."""

import json
import os
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from ..datasets.coco_file import find_faults, is_box, is_id, is_number, read_coco, short, summary
from ..utils.errors import UserError
from ..utils.files import PathLike
from .recording import truth_of_coco
from .records import Record

# Faults of the truth that leave nothing to compare with.
_FATAL = (
    *('image_id', 'duplicate_image', 'category_id', 'category_name', 'duplicate_category'),
    *('image_reference', 'not_a_box'),
)


def record_of_coco(
    predictions: PathLike, annotations: PathLike, image_root: PathLike | None = None
) -> Record:
    """Read predictions that CocoMetric (``outfile_prefix``) or ``mmanchor predict`` wrote.

    Args:
        predictions: A list of boxes in COCO's format of results, such as
            ``NAME.bbox.json``.
        annotations: The truth in COCO's format.
        image_root: The folder that its file names are relative to.

    Returns:
        A record, its labels in the order of the file's categories.

    Raises:
        UserError: If a file is not in its format, or the predictions are of
            other images or categories.
    """
    found = _read_predictions(predictions)
    coco = _read_truth(annotations)
    ids, category_ids = sorted(coco.imgs), coco.getCatIds()
    numbers = {id_: index for index, id_ in enumerate(ids)}
    labels = {id_: label for label, id_ in enumerate(category_ids)}
    for each in found:
        for key, known in (('image_id', numbers), ('category_id', labels)):
            if each[key] not in known:
                raise UserError(
                    f'--predictions {predictions}: {key} {each[key]!r} is not in {annotations}, so '
                    'that they are of another data set'
                )
    # Stable, so that boxes of one score keep the file's order, as in COCOeval.
    found.sort(key=lambda each: numbers[each['image_id']])
    root = str(image_root or '')
    return Record(
        'detection',
        [str(coco.cats[id_]['name']) for id_ in category_ids],
        [os.path.join(root, str(coco.imgs[id_].get('file_name', id_))) for id_ in ids],
        dict(
            truth_of_coco(coco, ids, category_ids),
            pred_image=np.array([numbers[each['image_id']] for each in found], int),
            pred_label=np.array([labels[each['category_id']] for each in found], int),
            pred_box=np.array([each['bbox'] for each in found], float).reshape(-1, 4),
            pred_score=np.array([each['score'] for each in found], float),
        ),
        run=dict(config=Path(predictions).name.removesuffix('.bbox.json')),
    )


def _read_truth(path: PathLike) -> COCO:
    """The index of a file; what COCO's evaluation passes over is left out."""
    data = read_coco(str(path))
    for key in ('images', 'categories'):
        if not data[key]:
            raise UserError(f'--ann {path} lists no {key}')
    faults = find_faults(data)
    for code in _FATAL:
        if code in faults:
            raise UserError(f'--ann {path}: {summary(code, faults[code])}')
    known = {each['id'] for each in data['categories']}
    rows = ((each.get('category_id'), each) for each in data['annotations'])
    kept = [each for label, each in rows if is_id(label) and label in known]
    coco = COCO()
    # Their ids serve for nothing here, and may be missing.
    coco.dataset = {**data, 'annotations': [{**each, 'id': n} for n, each in enumerate(kept, 1)]}
    with redirect_stdout(None):
        coco.createIndex()
    return coco


def _read_predictions(path: PathLike) -> list[dict[str, Any]]:
    """The boxes of a file, each with the four entries that COCO asks for."""
    if Path(path).suffix in ('.pkl', '.pickle'):
        raise UserError(
            f'--predictions {path}: pickles can run code and are not read; write '
            'NAME.bbox.json by `mmanchor test ... --out NAME.bbox.json`'
        )
    try:
        data = json.loads(Path(path).read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(f'--predictions {path}: {error.strerror}') from error
    except ValueError as error:
        raise UserError(f'--predictions {path} is not a JSON file: {error}') from error
    try:
        found = [
            dict(
                image_id=each['image_id'],
                category_id=each['category_id'],
                bbox=each['bbox'],
                score=each['score'],
            )
            for each in data
        ]
        for each in found:
            if not is_box(each['bbox']):
                raise ValueError(f'a bbox has not four numbers: {short(each["bbox"])}')
            for key in ('image_id', 'category_id', 'score'):
                if not is_number(each[key]):
                    raise ValueError(f'{key} {short(each[key])} is no number')
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(
            f'--predictions {path} must be a list of image_id, category_id, bbox and score '
            f"(COCO's results): {type(error).__name__} {error}"
        ) from error
    return found
