"""The analysis of segmentors."""

import cv2
import numpy as np

from ..visualization import overlay_mask
from . import charts
from .analysis import Analysis, Section, confused_pairs
from .calibration import binned_section
from .coco_matches import mean_or_nan
from .records import SURE_BINS, Record


class SegmentationAnalysis(Analysis):
    """IoU and accuracy as mmseg's ``IoUMetric`` has them, and boundary IoU."""

    class_score, main_score, counted = 'IoU', 'mIoU', 'pixels'
    image_score_text = 'mean IoU of the classes in the image'

    def __init__(self, record: Record, score_thr: float = 0.0) -> None:
        super().__init__(record, score_thr)
        a, num, count = record.arrays, len(record.classes), len(record.images)

        def by_image(image: np.ndarray, label: np.ndarray, values: np.ndarray) -> np.ndarray:
            sums = np.bincount(image * (num + 1) + label, values, count * (num + 1))
            return sums.reshape(count, num + 1)[:, :num]

        pixels = a['pixel_count']
        same = np.where(a['pixel_truth'] == a['pixel_pred'], pixels, 0)
        self._both = by_image(a['pixel_image'], a['pixel_pred'], same)
        self._found = by_image(a['pixel_image'], a['pixel_pred'], pixels)
        self._truth = by_image(a['pixel_image'], a['pixel_truth'], pixels)
        ious = _ratio(self._both, self._union())
        self.image_scores = np.array([mean_or_nan(row) for row in ious])
        pairs = a['pixel_truth'] * (num + 1) + a['pixel_pred']
        counts = np.bincount(pairs, pixels, (num + 1) ** 2).reshape(num + 1, num + 1)
        self.confusion = counts[:num, :num].astype(np.int64)
        self.class_counts = self._truth.sum(0).astype(np.int64)
        self.class_images = (self._truth > 0).sum(0)
        edges = [
            np.bincount(a['edge_label'], a[f'edge_{name}'], num + 1)[:num]
            for name in ('both', 'pred', 'truth')
        ]
        self.boundary = _ratio(edges[0], edges[1] + edges[2] - edges[0])
        self._table()

    def _union(self) -> np.ndarray:
        return self._found + self._truth - self._both

    def _table(self) -> None:
        both, found, truth = (each.sum(0) for each in (self._both, self._found, self._truth))
        columns = {
            'IoU': self.weighted()[:-1],
            'Acc': _ratio(both, truth),
            'precision': _ratio(both, found),
            'Dice': _ratio(2 * both, found + truth),
            'boundary IoU': self.boundary,
        }
        self.headline = {
            'mIoU': mean_or_nan(columns['IoU']),
            'mAcc': mean_or_nan(columns['Acc']),
            'aAcc': float(both.sum() / max(truth.sum(), 1)),
            'mDice': mean_or_nan(columns['Dice']),
            'boundary IoU': mean_or_nan(self.boundary),
        }
        self.table = self.class_table(columns)

    def weighted(self, weights: np.ndarray | None = None) -> np.ndarray:
        """IoU of each class, and their mean."""
        weights = np.ones(len(self._both)) if weights is None else weights
        iou = _ratio(weights @ self._both, weights @ self._union())
        return np.append(iou, mean_or_nan(iou))

    def sections(self) -> list[Section]:
        """Confusion, curves, calibration and boundaries."""
        pairs = confused_pairs(self.confusion, self.classes)
        out = [
            Section(
                'Confusion',
                'Pixels; rows are the true classes. Below it the most frequent mistakes.',
                [charts.confusion(self.confusion, self.classes, self.classes)],
                pairs if pairs.rows else None,
            )
        ]
        if len(self.record.arrays['sure_count']):
            out += [self._curves(), self._calibration()]
        return out

    def _curves(self) -> Section:
        """Precision and recall of each class while unsure pixels are left out."""
        a, num = self.record.arrays, len(self.classes)
        index = a['sure_label'] * SURE_BINS + a['sure_bin']
        counts, right = (
            np.bincount(index, a[name], (num + 1) * SURE_BINS).reshape(num + 1, SURE_BINS)[:num]
            for name in ('sure_count', 'sure_right')
        )
        # From the surest bin down.
        counts, right = (each[:, ::-1].cumsum(1) for each in (counts, right))
        recall = _ratio(right, self.class_counts[:, None])
        precision = _ratio(right, counts)
        curves = [
            (r[~np.isnan(p) & ~np.isnan(r)], p[~np.isnan(p) & ~np.isnan(r)])
            for r, p in zip(recall, precision, strict=True)
        ]
        return Section(
            'Precision and recall',
            'Of the pixels that are predicted as a class and at least this sure; each line ends '
            'where all pixels count. The number is the IoU.',
            [charts.precision_recall(curves, self.classes, np.nan_to_num(self.weighted()[:-1]))],
        )

    def _calibration(self) -> Section:
        a = self.record.arrays
        counts, right = (
            np.bincount(a['sure_bin'], a[name], SURE_BINS) for name in ('sure_count', 'sure_right')
        )
        joined = (each.reshape(20, -1).sum(1) for each in (counts, a['sure_sum'], right))
        return binned_section(*joined, 'pixels')

    def legend(self) -> list[tuple[str, str]]:
        """The classes that are in the truth or in the prediction."""
        seen = self._union().sum(0) > 0
        return [
            (name, '#{:02x}{:02x}{:02x}'.format(*color))
            for name, color, shown in zip(self.classes, self.palette, seen, strict=False)
            if shown
        ]

    def caption(self, index: int) -> str:
        """The classes that lose most in an image."""
        wrong = self._union()[index] - self._both[index]
        worst = [label for label in np.argsort(-wrong, kind='stable')[:3] if wrong[label]]
        names = ', '.join(self.classes[label] for label in worst)
        return f'{super().caption(index)} · most wrong: {names}' if worst else 'all right'

    def draw(self, image: np.ndarray, scale: float, index: int, predicted: bool) -> np.ndarray:
        """The label map over its image; ignored pixels show the image."""
        a, place = self.record.arrays, 2 * index + predicted
        start = a['thumb_end'][place - 1] if place else 0
        labels = cv2.imdecode(a['thumbs'][start : a['thumb_end'][place]], cv2.IMREAD_UNCHANGED)
        size = image.shape[1::-1]
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST).astype(int)
        labels[labels >= len(self.classes)] = -1
        return overlay_mask(image, labels, self.palette, 0.65, -1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where there is nothing to be part of."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, np.full(part.shape, np.nan), where=whole > 0)


ANALYSIS = SegmentationAnalysis
