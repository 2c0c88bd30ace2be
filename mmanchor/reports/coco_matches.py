"""Which boxes COCO's evaluation matches, and average precision of any weighting of the images."""

from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .records import Record

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = ('all', 'small', 'medium', 'large')
_AT_ONCE = 10


@dataclass(frozen=True)
class ClassMatches:
    """Boxes of a class, best first, as COCOeval matched them.

    Args:
        image: (D,) index of each box's image.
        row: (D,) index of each box in the record.
        score: (D,).
        right: (T, D), whether it is matched, by IoU threshold.
        ignored: (T, D), whether it counts nowhere.
        truths: (N,) number of true boxes of each image that count.
    """

    image: np.ndarray
    row: np.ndarray
    score: np.ndarray
    right: np.ndarray
    ignored: np.ndarray
    truths: np.ndarray


def evaluate(record: Record) -> dict[str, Any]:
    """Run COCOeval on the boxes of a record.

    Args:
        record: A detection record.

    Returns:
        By the names of :data:`AREAS` a list of :class:`ClassMatches`, one a
        class; and ``used``: rows of true boxes that are matched at IoU 0.5.
    """
    coco_eval = COCOeval(*_cocos(record), 'bbox')
    num_classes, num_images = len(record.classes), len(record.images)
    found: dict[str, Any] = {area: [] for area in AREAS}
    used: list[int] = []
    # COCOeval keeps some kB for each image, class and area.
    for start in range(0, num_classes, _AT_ONCE):
        coco_eval.params.catIds = list(range(start, min(start + _AT_ONCE, num_classes)))
        with redirect_stdout(None):
            coco_eval.evaluate()
        for number in range(len(coco_eval.evalImgs) // num_images):
            results = coco_eval.evalImgs[number * num_images :][:num_images]
            area = AREAS[number % len(AREAS)]
            found[area].append(_class_matches(results, num_images))
            if area == 'all':
                used += [row for each in results if each is not None for row in _used(each)]
    return {**found, 'used': np.array(used, int)}


def _used(result: dict) -> list[int]:
    """Rows of the true boxes of an image that are matched at IoU 0.5."""
    pairs = zip(result['gtIds'], result['gtMatches'][0], strict=True)
    return [id_ - 1 for id_, match in pairs if match]


def _cocos(record: Record) -> tuple[COCO, COCO]:
    """Truth and predictions as pycocotools takes them; ids count from 1, images from 0."""
    a = record.arrays
    areas = a['pred_box'][:, 2] * a['pred_box'][:, 3]
    columns = dict(
        truth=(a['truth_area'], a['truth_crowd'], np.zeros(len(a['truth_box']))),
        pred=(areas, np.zeros(len(areas), int), a['pred_score']),
    )
    cocos = []
    for name, rest in columns.items():
        parts = [a[f'{name}_image'], a[f'{name}_label'], a[f'{name}_box'], *rest]
        rows = zip(*(part.tolist() for part in parts), strict=True)
        coco = COCO()
        coco.dataset = dict(
            images=[dict(id=index) for index in range(len(record.images))],
            categories=[dict(id=label) for label in range(len(record.classes))],
            annotations=[
                dict(
                    id=n,
                    image_id=image,
                    category_id=label,
                    bbox=box,
                    area=area,
                    iscrowd=crowd,
                    score=score,
                )
                for n, (image, label, box, area, crowd, score) in enumerate(rows, 1)
            ],
        )
        with redirect_stdout(None):
            coco.createIndex()
        cocos.append(coco)
    return cocos[0], cocos[1]


def _class_matches(results: list, num_images: int) -> ClassMatches:
    """Put the images of a class together, in COCOeval's order."""
    truths = np.zeros(num_images)
    columns: list[tuple] = []
    for image, each in enumerate(results):
        if each is not None:
            truths[image] = np.count_nonzero(each['gtIgnore'] == 0)
            ids = np.array(each['dtIds'], int) - 1
            scores = np.array(each['dtScores'], float)
            right = each['dtMatches'] > 0
            columns.append((np.full(len(ids), image), ids, scores, right, each['dtIgnore'] > 0))
    if not columns:
        none = np.zeros(0, int)
        flags = np.zeros((len(IOUS), 0), bool)
        return ClassMatches(none, none, np.zeros(0), flags, flags, truths)
    image, row, score, right, ignored = (
        np.concatenate(part, axis=-1) for part in zip(*columns, strict=True)
    )
    order = np.argsort(-score, kind='mergesort')
    ignored = ignored[:, order]
    right = right[:, order] & ~ignored
    return ClassMatches(image[order], row[order], score[order], right, ignored, truths)


def precision_curves(
    right: np.ndarray, wrong: np.ndarray, num_truths: float
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolated precision at 101 recalls, and the highest recall.

    Args:
        right, wrong: (T, D) weights of true and false positives, best first.
        num_truths: Weight of all true boxes, above 0.

    Returns:
        (T, 101) and (T,), equal to those of COCOeval's ``accumulate``.
    """
    right, wrong = right.cumsum(1, dtype=float), wrong.cumsum(1, dtype=float)
    curves = np.zeros((len(right), len(RECALLS)))
    if not right.shape[1]:
        return curves, np.zeros(len(right))
    recall = right / num_truths
    precision = right / (wrong + right + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    for curve, r, p in zip(curves, recall, precision, strict=True):
        places = np.searchsorted(r, RECALLS, side='left')
        reached = places < len(r)
        curve[reached] = p[places[reached]]
    return curves, recall[:, -1]


def curves_of(
    matches: ClassMatches, weights: np.ndarray | None = None, ious: slice = slice(None)
) -> tuple[np.ndarray, np.ndarray] | None:
    """Curves of a class, as :func:`precision_curves` has them.

    Args:
        matches: Of the class.
        weights: (N,) how often each image counts; ``None`` counts each once.
        ious: Which thresholds.

    Returns:
        ``None`` if the class has no true box.
    """
    num_truths = matches.truths.sum() if weights is None else matches.truths @ weights
    if num_truths == 0:
        return None
    right = matches.right[ious]
    wrong = ~right & ~matches.ignored[ious]
    if weights is not None:
        right, wrong = (flags * weights[matches.image] for flags in (right, wrong))
    return precision_curves(right, wrong, num_truths)


def mean_or_nan(values: np.ndarray | list) -> float:
    """The mean of what is not NaN; NaN of nothing, without a warning."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float('nan')
