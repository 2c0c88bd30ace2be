"""Whether scores are probabilities."""

import numpy as np

from . import charts
from .analysis import Section

BINS = 15


def calibration_section(sure: np.ndarray, right: np.ndarray, what: str) -> Section:
    """Reliability of single predictions.

    Args:
        sure: Their scores, 0 to 1.
        right: Whether each is right.
        what: What they are, in the plural.
    """
    # A model that has diverged is sure of nothing.
    sure = np.nan_to_num(sure)
    places = np.minimum((sure * BINS).astype(int), BINS - 1)
    columns = (np.bincount(places, w, BINS) for w in (None, sure, right.astype(float)))
    return binned_section(*columns, what)


def binned_section(
    counts: np.ndarray, sure: np.ndarray, right: np.ndarray, what: str, note: str = ''
) -> Section:
    """Reliability of counted predictions.

    Args:
        counts, sure, right: (bins,) their number, the sum of their scores, and
            how many are right.
        what: What they are, in the plural.
        note: A sentence on how they were chosen.
    """
    share = np.maximum(counts, 1)
    error = expected_error(counts, sure, right)
    text = (
        f'How often {what} with a score are right; on the dashed line, as often as the score says. '
        f'The expected calibration error (ECE) is {error:.4f}, over {len(counts)} bins. {note}'
    )
    chart = charts.reliability(sure / share, right / share, counts, what)
    return Section('Calibration', text, [chart])


def expected_error(counts: np.ndarray, sure: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error.

    Args:
        counts, sure, right: As :func:`binned_section` has them.

    Example:
        >>> expected_error(np.array([2, 2]), np.array([0.5, 1.5]), np.array([0, 2]))
        0.25
    """
    return float(np.abs(right - sure).sum() / max(counts.sum(), 1))
