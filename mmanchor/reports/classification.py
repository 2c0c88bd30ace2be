"""The analysis of classifiers."""

import numpy as np

from . import charts
from .analysis import Analysis, Section, confused_pairs
from .calibration import calibration_section
from .records import Record


class ClassificationAnalysis(Analysis):
    """Accuracy; precision, recall and F1 as mmpretrain's ``SingleLabelMetric`` has them."""

    class_score, main_score = 'recall', 'top-1'
    image_score_text = 'probability of the true class'

    def __init__(self, record: Record, score_thr: float = 0.0) -> None:
        super().__init__(record, score_thr)
        a, num = record.arrays, len(record.classes)
        self.truth, self.found = a['truth'], a['labels'][:, 0]
        self.image_scores = a['truth_score'].astype(float)
        self._right = self.truth == self.found
        pairs = self.truth.astype(np.int64) * num + self.found
        self.confusion = np.bincount(pairs, minlength=num**2).reshape(num, num)
        self.class_counts = self.class_images = self.confusion.sum(1)
        hits = np.diagonal(self.confusion)
        precision = hits / np.maximum(self.confusion.sum(0), 1)
        recall = hits / np.maximum(self.class_counts, 1)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
        self.ap = np.array([self._ap(label) for label in range(num)])
        in_five = (a['labels'][:, :5] == self.truth[:, None]).any(1)
        self.headline = {'top-1': float(self._right.mean())}
        if num > 5:
            self.headline['top-5'] = float(in_five.mean())
        means = dict(precision=precision, recall=recall, F1=f1)
        self.headline |= {f'mean {name}': float(v.mean()) for name, v in means.items()}
        seen = self.class_counts > 0
        recall, f1 = (np.where(seen, each, np.nan) for each in (recall, f1))
        precision = np.where(seen | (self.confusion.sum(0) > 0), precision, np.nan)
        self.table = self.class_table(dict(precision=precision, recall=recall, F1=f1, AP=self.ap))

    def _scores_of(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """Whether images are of a class, in descending order of its score; and the scores.

        Of many classes only the best of each image were kept: the others come last.
        """
        kept = self.record.arrays['labels'] == label
        score = np.where(kept, self.record.arrays['scores'], 0).max(1)
        order = np.argsort(-score, kind='stable')
        return self.truth[order] == label, score[order]

    def _ap(self, label: int) -> float:
        """Average precision of a class against the rest, as mmpretrain has it."""
        hits = self._scores_of(label)[0]
        ranks = np.arange(1, len(hits) + 1)
        precision = np.where(hits, hits.cumsum() / ranks, 0)
        return float(precision.sum() / hits.sum()) if hits.any() else float('nan')

    def weighted(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Recall of each class, and top-1 accuracy."""
        weights = np.ones(len(self.truth)) if weights is None else weights
        num = len(self.classes)
        counts = np.bincount(self.truth, weights, num)
        right = np.bincount(self.truth, weights * self._right, num)
        recall = np.divide(right, counts, np.full(num, np.nan), where=counts > 0)
        return np.append(recall, right.sum() / weights.sum())

    def sections(self) -> list[Section]:
        """Confusion, curves and calibration."""
        pairs = confused_pairs(self.confusion, self.classes)
        curves = []
        for label in range(len(self.classes)):
            hits = self._scores_of(label)[0] if self.class_counts[label] else np.zeros(0, bool)
            right = hits.cumsum()
            curves.append((right / max(hits.sum(), 1), right / np.arange(1, len(hits) + 1)))
        drawn = charts.precision_recall(_thinned(curves), self.classes, np.nan_to_num(self.ap))
        best = self.record.arrays['scores'][:, 0].clip(0, 1)
        return [
            Section(
                'Confusion',
                'Rows are the true classes. Below it the most frequent mistakes.',
                [charts.confusion(self.confusion, self.classes, self.classes)],
                pairs if pairs.rows else None,
            ),
            Section(
                'Precision and recall',
                'Each class against the rest, over all thresholds of its score; the number is the '
                'average precision.',
                [drawn],
            ),
            calibration_section(best, self._right, 'predictions'),
        ]

    def caption(self, index: int) -> str:
        """Truth and prediction."""
        found, score = self.found[index], float(self.record.arrays['scores'][index, 0])
        text = f'{self.classes[self.truth[index]]} ({super().caption(index)})'
        if found == self.truth[index]:
            return f'right: {text}'
        return f'truth: {text}, predicted: {self.classes[found]} ({self.show(score)}%)'


def _thinned(curves: list, most: int = 200) -> list:
    """Curves of few points, which look the same."""
    thin = []
    for recall, precision in curves:
        places = np.unique(np.linspace(0, max(len(recall) - 1, 0), most).astype(int))
        thin.append((recall[places], precision[places]) if len(recall) else (recall, precision))
    return thin


ANALYSIS = ClassificationAnalysis
