"""Classifiers of mmpretrain."""

from typing import Any

import numpy as np
from mmpretrain.structures import DataSample

from ..visualization import write_caption
from .model import Model
from .results import Result


class ClassificationResult(Result, DataSample):
    """How likely each class is; also in ``pred_score``, as mmpretrain has it."""

    @property
    def scores(self) -> np.ndarray:
        """(classes,) float32, one for each class; of one label an image they sum to 1."""
        return self.pred_score.cpu().numpy()

    @property
    def label(self) -> int:
        """Index of the most likely class."""
        return int(self.scores.argmax())

    @property
    def name(self) -> str:
        """Name of the most likely class."""
        return self.classes[self.label]

    @property
    def score(self) -> float:
        """Score of the most likely class, 0 to 1."""
        return float(self.scores.max())

    def best(self, number: int = 5) -> list[dict[str, Any]]:
        """The most likely classes, the likeliest first.

        Args:
            number: How many at most.

        Returns:
            For each its ``label``, its name as ``class``, and its ``score``.
        """
        scores = self.scores
        order = np.argsort(-scores, kind='stable')[:number].tolist()
        return [
            {'label': i, 'class': self.classes[i], 'score': round(float(scores[i]), 6)}
            for i in order
        ]

    def draw(self) -> np.ndarray:
        """The image with the most likely class and its score written into it.

        Returns:
            (H, W, 3) uint8, RGB.
        """
        return write_caption(
            self.image, self.name, f'{100 * self.score:.0f}%', self.origin.palette[self.label]
        )


class Classifier(Model):
    """A classifier of mmpretrain."""

    task = 'classification'
    result_type = ClassificationResult

    def _num_classes(self) -> int | None:
        return getattr(getattr(self.module, 'head', None), 'num_classes', None)
