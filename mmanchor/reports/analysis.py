"""What every task's analysis gives a page."""

import importlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..visualization import distinct_palette
from .records import Record

SCORE_THR = 0.3


@dataclass
class Table:
    """A table whose columns can be sorted.

    Args:
        head: Titles.
        rows: Cells: text, whole numbers, and scores, which are shown in the
            unit of the page.
    """

    head: list[str]
    rows: list[list[Any]]


@dataclass
class Section:
    """A part of a page.

    Args:
        title: Its heading.
        text: One paragraph that says what is shown.
        charts: Pairs of an image's address and its description.
        table: Below them.
    """

    title: str
    text: str
    charts: list[tuple[str, str]] = field(default_factory=list)
    table: Table | None = None


class Analysis:
    """Scores of a record, as numbers from 0 to 1.

    Args:
        record: What a test kept.
        score_thr: Detection: boxes below it are not drawn and not in the
            confusion matrix.

    Attributes:
        headline: The scores that the page begins with.
        table: One row a class.
        class_counts: (K,) how much truth each class has.
        class_images: (K,) in how many images.
        image_scores: (N,) how well each image went; NaN where nothing could go
            wrong.
    """

    # How scores are shown, as the toolbox's metrics show them.
    factor, digits, unit = 100, 2, '%'
    # The score of a class and the mean that a comparison is about.
    class_score, main_score, counted = '', '', 'images'
    image_score_text = ''

    headline: dict[str, float]
    table: Table
    class_counts: np.ndarray
    class_images: np.ndarray
    image_scores: np.ndarray

    def __init__(self, record: Record, score_thr: float = SCORE_THR) -> None:
        self.record = record
        self.classes = record.classes
        self.score_thr = score_thr
        self.palette = record.palette or distinct_palette(len(record.classes))

    def weighted(self, weights: np.ndarray | None = None) -> np.ndarray:
        """The score of each class, and the main score behind them.

        Args:
            weights: (N,) how often each image counts.

        Returns:
            (K + 1,), NaN for a class without truth.
        """
        raise NotImplementedError

    def sections(self) -> list[Section]:
        """Everything that is drawn besides the table of classes."""
        raise NotImplementedError

    def legend(self) -> list[tuple[str, str]]:
        """Names and colors that pictures need below them."""
        return []

    def image_text(self, predictions: str) -> str:
        """What orders the images, and what their pictures show.

        Args:
            predictions: What stands behind the truth; classifiers draw nothing.
        """
        drawn = f'; first the truth, then {predictions}'
        return f'By {self.image_score_text}{"" if self.record.task == "classification" else drawn}.'

    def caption(self, index: int) -> str:
        """What is said below the pictures of an image: how well it went."""
        return f'{self.show(self.image_scores[index])}{self.unit}'

    def draw(self, image: np.ndarray, scale: float, index: int, predicted: bool) -> np.ndarray:
        """The truth or the prediction in an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            scale: Its size as a part of the file's.
            index: Its number.
            predicted: Draw the prediction.

        Returns:
            (H, W, 3) uint8.
        """
        return image

    def class_table(self, columns: dict[str, np.ndarray]) -> Table:
        """The names and counts of the classes, with scores behind them."""
        parts = [self.classes, self.class_counts.tolist(), *(v.tolist() for v in columns.values())]
        rows = [list(row) for row in zip(*parts, strict=True)]
        return Table(['class', self.counted, *columns], rows)

    def show(self, value: Any) -> str:
        """A cell as text: scores in the page's unit, whole numbers and text as they are."""
        if isinstance(value, (float, np.floating)):
            return '-' if np.isnan(value) else f'{value * self.factor:.{self.digits}f}'
        return str(value)


def analyze(record: Record, score_thr: float = SCORE_THR) -> Analysis:
    """Analyze a record by its task.

    Args:
        record: What a test kept.
        score_thr: As :class:`Analysis` has it.
    """
    module = importlib.import_module(f'.{record.task}', __package__)
    return module.ANALYSIS(record, score_thr)


def confused_pairs(counts: np.ndarray, names: list[str], limit: int = 15) -> Table:
    """The most frequent mistakes of a confusion matrix.

    Args:
        counts: (K, K), truth by prediction.
        names: Of its rows and columns.
        limit: Number of rows.
    """
    mistakes = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    # A class that nothing is true of has no share.
    share = mistakes / np.maximum(counts.sum(1, keepdims=True), 1)
    order = np.argsort(-mistakes, axis=None, kind='stable')[:limit]
    rows = [
        [names[i], names[j], int(mistakes[i, j]), float(share[i, j])]
        for i, j in zip(*np.unravel_index(order, counts.shape), strict=True)
        if mistakes[i, j]
    ]
    return Table(['truth', 'predicted as', 'count', 'share of the truth'], rows)
