"""The analysis of detectors."""

import numpy as np
from pycocotools import mask as coco_mask

from ..visualization import draw_boxes
from . import charts
from .analysis import SCORE_THR, Analysis, Section, Table, confused_pairs
from .calibration import calibration_section
from .coco_matches import AREAS, RECALLS, ClassMatches, curves_of, evaluate, mean_or_nan
from .records import Record
from .tide import KINDS, error_costs

BACKGROUND = 'background'
# Boxes below this score say nothing and would be most of what is calibrated.
_LOWEST_SCORE = 0.05


class DetectionAnalysis(Analysis):
    """Average precision as COCOeval, and so CocoMetric, has it."""

    factor, digits, unit = 1, 3, ''
    class_score, main_score, counted = 'AP', 'AP', 'boxes'
    image_score_text = 'F1 of the boxes over the score threshold, mean over IoU .5 to .95'

    def __init__(self, record: Record, score_thr: float = SCORE_THR) -> None:
        super().__init__(record, score_thr)
        self._found = evaluate(record)
        self._matches: list[ClassMatches] = self._found['all']
        self.class_counts = np.array([m.truths.sum() for m in self._matches], int)
        self.class_images = np.array([np.count_nonzero(m.truths) for m in self._matches], int)
        self._curves = [curves_of(m) for m in self._matches]
        self._table()
        self._rate_images()

    def _table(self) -> None:
        none = np.zeros((10, 101)) + np.nan, np.zeros(10) + np.nan
        curves = [each or none for each in self._curves]
        self._precision = np.stack([precision for precision, _ in curves])  # (K, T, R)
        recall = np.stack([each for _, each in curves]).mean(1)
        ap = self._precision.mean(2)
        columns = {'AP': ap.mean(1), 'AP50': ap[:, 0], 'AP75': ap[:, 5]}
        columns |= {f'AP {area}': self._area_ap(area) for area in AREAS[1:]}
        columns['AR'] = recall
        self.headline = {name: mean_or_nan(values) for name, values in columns.items()}
        self.table = self.class_table(columns)

    def _area_ap(self, area: str) -> np.ndarray:
        found = map(curves_of, self._found[area])
        return np.array([np.nan if each is None else each[0].mean() for each in found])

    def _rate_images(self) -> None:
        """F1 of each image, and how many boxes are right, wrong and missing at IoU 0.5."""
        num = len(self.record.images)
        right, wrong = np.zeros((2, 10, num))
        truths = np.sum([m.truths for m in self._matches], 0)
        for m in self._matches:
            sure = m.score >= self.score_thr
            for t in range(10):
                right[t] += np.bincount(m.image, m.right[t] & sure, num)
                wrong[t] += np.bincount(m.image, ~m.right[t] & ~m.ignored[t] & sure, num)
        whole = right + wrong + truths
        self.image_scores = np.divide(
            2 * right, whole, np.full(whole.shape, np.nan), where=whole > 0
        ).mean(0)
        self._tally = np.stack((right[0], wrong[0], truths - right[0])).astype(int)

    def weighted(self, weights: np.ndarray | None = None) -> np.ndarray:
        """AP of each class, and their mean."""
        found = [curves_of(m, weights) for m in self._matches]
        ap = np.array([np.nan if each is None else each[0].mean() for each in found])
        return np.append(ap, mean_or_nan(ap))

    def error_costs(self) -> tuple[dict[str, float], dict[str, int]]:
        """Gain in AP50 and number of errors, by kind."""
        return error_costs(self.record, self._found)

    def sections(self) -> list[Section]:
        """Errors, sizes, confusion, curves and calibration."""
        gains, counts = self.error_costs()
        rows = [[name, KINDS[name], counts[name], gains[name]] for name in KINDS]
        matrix, names = self._confusion(), [*self.classes, BACKGROUND]
        sizes = ['AP small', 'AP medium', 'AP large']
        pairs = confused_pairs(matrix, names)
        return [
            Section(
                'Errors and sizes',
                'What the AP at IoU 0.5 would gain if one kind of error were mended (TIDE); and '
                'the AP by size: small is below 32 x 32 pixels, large above 96 x 96.',
                [
                    charts.bars(list(KINDS), list(gains.values()), 'AP50 that would be gained'),
                    charts.bars(sizes, [self.headline[name] for name in sizes], 'AP'),
                ],
                Table(['kind', 'what it is', 'count', 'gain in AP50'], rows),
            ),
            Section(
                'Confusion',
                f'Boxes with a score of at least {self.score_thr:g} at IoU 0.5; rows are the true '
                'classes, a box of the right class first. Truth in the column '
                f'"{BACKGROUND}" is missed, boxes in the row "{BACKGROUND}" are on nothing.',
                [charts.confusion(matrix, names, names)],
                pairs if pairs.rows else None,
            ),
            self._curve_section(),
            self._calibration(),
        ]

    def _curve_section(self) -> Section:
        known = np.array([each is not None for each in self._curves], bool)
        curves = [
            (RECALLS, p[0]) if k else (RECALLS[:0], RECALLS[:0])
            for p, k in zip(self._precision, known, strict=True)
        ]
        mean = self._precision[known].mean(0) if known.any() else np.zeros((10, 101))
        bold = [('mean at .50', RECALLS, mean[0]), ('mean at .75', RECALLS, mean[5])]
        ap50 = np.nan_to_num(self._precision[:, 0].mean(1))
        return Section(
            'Precision and recall',
            'Of each class at IoU 0.5; the number is its AP50.',
            [charts.precision_recall(curves, self.classes, ap50, bold)],
        )

    def _calibration(self) -> Section:
        kept = [(m.score >= _LOWEST_SCORE) & ~m.ignored[0] for m in self._matches]
        pairs = zip(self._matches, kept, strict=True)
        sure, right = (
            np.concatenate(part)
            for part in zip(*((m.score[k], m.right[0][k]) for m, k in pairs), strict=True)
        )
        return calibration_section(sure.clip(0, 1), right, f'boxes over {_LOWEST_SCORE}')

    def _boxes(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the boxes of an image: predictions over the threshold, best first, and truth."""
        a = self.record.arrays
        found, truths = (
            np.arange(*np.searchsorted(a[f'{name}_image'], (index, index + 1)))
            for name in ('pred', 'truth')
        )
        found = found[a['pred_score'][found] >= self.score_thr]
        return found[np.argsort(-a['pred_score'][found], kind='stable')], truths

    def _confusion(self) -> np.ndarray:
        """(K + 1, K + 1) numbers of boxes, background last."""
        a, num = self.record.arrays, len(self.classes)
        matrix = np.zeros((num + 1, num + 1), np.int64)
        for index in range(len(self.record.images)):
            found, truths = self._boxes(index)
            labels, crowd = a['truth_label'][truths], a['truth_crowd'][truths] > 0
            free = {t for t in range(len(truths)) if not crowd[t]}
            ious = np.zeros((len(found), len(truths)))
            if len(found) and len(truths):
                boxes = a['pred_box'][found], a['truth_box'][truths]
                ious = coco_mask.iou(*boxes, crowd.astype(int).tolist())
            same = a['pred_label'][found][:, None] == labels
            left = set(range(len(found)))
            order = np.lexsort((-ious.ravel(), ~same.ravel()))
            for d, t in zip(*np.unravel_index(order, ious.shape), strict=True):
                if d in left and t in free and ious[d, t] >= 0.5:
                    matrix[labels[t], a['pred_label'][found[d]]] += 1
                    left.remove(d)
                    free.remove(t)
            for t in free:
                matrix[labels[t], num] += 1
            for d in left:
                if not (ious[d][crowd] >= 0.5).any():
                    matrix[num, a['pred_label'][found[d]]] += 1
        return matrix

    def caption(self, index: int) -> str:
        """How many boxes are right, wrong and missing."""
        right, wrong, missed = self._tally[:, index]
        return f'{super().caption(index)} · {right} right, {wrong} wrong, {missed} missed'

    def draw(self, image: np.ndarray, scale: float, index: int, predicted: bool) -> np.ndarray:
        """Boxes over an image; those of crowds are left out."""
        a, (found, truths) = self.record.arrays, self._boxes(index)
        name = 'pred' if predicted else 'truth'
        rows = found if predicted else truths[a['truth_crowd'][truths] == 0]
        boxes = a[f'{name}_box'][rows] * scale
        boxes[:, 2:] += boxes[:, :2]
        scores = a['pred_score'][rows].tolist() if predicted else None
        labels = a[f'{name}_label'][rows].tolist()
        return draw_boxes(image, boxes, labels, self.classes, self.palette, scores)


ANALYSIS = DetectionAnalysis
