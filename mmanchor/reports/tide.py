"""How much average precision each kind of error costs: TIDE (arXiv 2008.08115) over COCOeval."""

from collections import defaultdict

import numpy as np
from pycocotools import mask as coco_mask

from .coco_matches import ClassMatches, mean_or_nan, precision_curves
from .records import Record

NEAR, FAR = 0.5, 0.1
KINDS = {
    'classification': 'right place, wrong class',
    'localization': 'right class, IoU between 0.1 and 0.5',
    'both': 'wrong class and wrong place',
    'duplicate': 'a second box on an object that is found',
    'background': 'no object there (IoU below 0.1)',
    'missed': 'an object without a box, not even a wrong one',
}
_NONE = -1


def error_costs(record: Record, found: dict) -> tuple[dict[str, float], dict[str, int]]:
    """AP at IoU 0.5 that would be gained by mending one kind of error.

    As in the authors' code: a wrong class or place is put right, unless its
    object is found or another such box, of either kind, has a higher score;
    other false positives are removed, and missed objects are no longer asked
    for. Boxes that COCOeval ignores, such as those in crowds, are no errors.

    Args:
        record: A detection record.
        found: What :func:`~mmanchor.reports.coco_matches.evaluate` returned.

    Returns:
        Gain in AP (0 to 1) and number of errors, by the names of :data:`KINDS`.
    """
    matches: list[ClassMatches] = found['all']
    kind, target = _kinds(record, matches, found['used'])
    rows, num_truths = _rows(matches), np.array([m.truths.sum() for m in matches])
    known, base = num_truths > 0, _aps(rows, num_truths)
    truths = record.arrays['truth_label']
    mended = _mended(target, record.arrays['pred_score'], found['used'])
    gains, counts = {}, {}
    for name in KINDS:
        if name == 'missed':
            touched = np.union1d(found['used'], target[target != _NONE])
            missed = np.setdiff1d(np.nonzero(record.arrays['truth_crowd'] == 0)[0], touched)
            counts[name] = len(missed)
            left = num_truths - np.bincount(truths[missed], minlength=len(known))
            aps = _aps(rows, left)
        else:
            counts[name] = int((kind == name).sum())
            right = mended[kind[mended] == name]
            aps = _aps(_without(rows, kind == name, right, target, truths, record), num_truths)
        gains[name] = mean_or_nan((aps - base)[known])
    return gains, counts


def _kinds(
    record: Record, matches: list[ClassMatches], used: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The kind of error of each predicted box ('' for none), and the truth that it means."""
    a = record.arrays
    kind = np.full(len(a['pred_score']), '', 'U16')
    target = np.full(len(kind), _NONE)
    wrong_by_image, truth_by_image = defaultdict(list), defaultdict(list)
    for m in matches:
        wrong = ~m.right[0] & ~m.ignored[0]
        for image, row in zip(m.image[wrong], m.row[wrong], strict=True):
            wrong_by_image[image].append(row)
    for row in np.nonzero(a['truth_crowd'] == 0)[0]:
        truth_by_image[a['truth_image'][row]].append(row)
    is_used = np.isin(np.arange(len(a['truth_label'])), used)
    for image, rows in wrong_by_image.items():
        rows, truths = np.array(rows), np.array(truth_by_image[image], int)
        if not len(truths):
            kind[rows] = 'background'
            continue
        ious = coco_mask.iou(a['pred_box'][rows], a['truth_box'][truths], [0] * len(truths))
        same = a['pred_label'][rows][:, None] == a['truth_label'][truths]
        same_iou, other_iou = np.where(same, ious, 0), np.where(same, 0, ious)
        of_used = np.where(is_used[truths], same_iou, 0).max(1)
        place, other = same_iou.argmax(1), other_iou.argmax(1)
        best, best_other = same_iou.max(1), other_iou.max(1)
        # The order is TIDE's: the first that is true names the error.
        cases = [
            (best >= FAR) & (best <= NEAR),
            best_other >= NEAR,
            of_used >= NEAR,
            ious.max(1) <= FAR,
        ]
        kind[rows] = np.select(
            cases, ['localization', 'classification', 'duplicate', 'background'], 'both'
        )
        target[rows] = np.select(cases[:2], [truths[place], truths[other]], _NONE)
    return kind, target


def _mended(target: np.ndarray, scores: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Rows of the boxes that put their object right: the best of each that is not found."""
    rows = np.nonzero((target != _NONE) & ~np.isin(target, used))[0]
    rows = rows[np.argsort(-scores[rows], kind='mergesort')]
    return rows[np.unique(target[rows], return_index=True)[1]]


def _rows(matches: list[ClassMatches]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """By class: row, score and whether it is right, of the boxes that count."""
    counted = [~m.ignored[0] for m in matches]
    return [(m.row[c], m.score[c], m.right[0][c]) for m, c in zip(matches, counted, strict=True)]


def _without(
    rows: list, gone: np.ndarray, mended: np.ndarray, target: np.ndarray, truths: np.ndarray,
    record: Record,
) -> list:  # fmt: skip
    """The boxes without those that are gone; the mended ones are right, in their true class."""
    out = []
    for label, (row, score, right) in enumerate(rows):
        kept = ~gone[row]
        more = mended[truths[target[mended]] == label]
        score = np.concatenate((score[kept], record.arrays['pred_score'][more]))
        right = np.concatenate((right[kept], np.ones(len(more), bool)))
        out.append((np.concatenate((row[kept], more)), score, right))
    return out


def _aps(rows: list, num_truths: np.ndarray) -> np.ndarray:
    """AP of each class; 0 if nothing is asked for."""
    aps = np.zeros(len(rows))
    for label, (_, score, right) in enumerate(rows):
        if num_truths[label] > 0:
            right = right[np.argsort(-score, kind='mergesort')][None]
            aps[label] = precision_curves(right, ~right, num_truths[label])[0].mean()
    return aps
