"""What a test keeps for its report: two files that any program can read."""

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import UserError
from ..utils.files import PathLike, replacing, write_json

INFO_FILE, ARRAYS_FILE = 'report.json', 'predictions.npz'
FORMAT = 1
# Of the probabilities of pixels; finer than those drawn, so that curves have points enough.
SURE_BINS = 100
TASKS = ('classification', 'detection', 'segmentation')
# The arrays without which a page cannot be made; docs/reports.md says what they hold.
ARRAYS = dict(
    classification='truth labels scores truth_score',
    detection='image_id pred_image pred_label pred_box pred_score truth_image truth_label '
    'truth_box truth_area truth_crowd',
    segmentation='pixel_image pixel_truth pixel_pred pixel_count edge_image edge_label edge_both '
    'edge_pred edge_truth sure_label sure_bin sure_count sure_right sure_sum thumbs thumb_end',
)

LABELS = (
    *('truth', 'labels', 'pred_label', 'truth_label'),
    *('pixel_truth', 'pixel_pred', 'edge_label', 'sure_label'),
)
# Arrays that are no columns of a table.
_ALONE = {'image_id', 'sure_sum', 'thumbs', 'thumb_end'}


@dataclass
class Record:
    """Truth and predictions of a test.

    Args:
        task: One of :data:`TASKS`.
        classes: Class names, in the order of the labels.
        images: The file of each image.
        arrays: The arrays of the task, by the names of :data:`ARRAYS`.
        scores: What the test's own metrics gave.
        palette: RGB of each class, 0 to 255; empty for colors of the page's choice.
        run: ``config``, ``checkpoint``, ``environment``, ``cost``, ``curves``: what is known.
    """

    task: str
    classes: list[str]
    images: list[str]
    arrays: dict[str, np.ndarray]
    scores: dict[str, Any] = field(default_factory=dict)
    palette: list[list[int]] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write ``report.json`` and ``predictions.npz`` into ``folder``."""
        with replacing(folder / ARRAYS_FILE) as part, part.open('wb') as file:
            np.savez_compressed(file, **self.arrays)
        info = {key: value for key, value in vars(self).items() if key != 'arrays'}
        write_json(folder / INFO_FILE, dict(format=FORMAT, **info))


def load_record(folder: PathLike) -> Record:
    """Read what a report was made from.

    Args:
        folder: The folder of ``mmanchor test --report``.

    Raises:
        UserError: If it is not such a folder, or its files are damaged.
    """
    path = Path(folder)
    if not (path / INFO_FILE).is_file() or not (path / ARRAYS_FILE).is_file():
        raise UserError(
            f'{str(folder)!r} is no folder of a report: {INFO_FILE} and {ARRAYS_FILE} are '
            'missing; `mmanchor test CONFIG CHECKPOINT --report FOLDER` writes them'
        )
    try:
        info = json.loads((path / INFO_FILE).read_text(encoding='utf-8'))
        if info.pop('format') != FORMAT:
            raise UserError(f'{path / INFO_FILE} is of another version of mmanchor: test again')
        with np.load(path / ARRAYS_FILE, allow_pickle=False) as file:
            record = Record(arrays=dict(file), **info)
        _check(record)
    except UserError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f'the report {str(folder)!r} is damaged: {error}') from error
    return record


def _check(record: Record) -> None:
    """Refuse a record whose parts do not belong together."""
    missing = set(ARRAYS[record.task].split()) - set(record.arrays)
    if missing:
        raise ValueError(f'{ARRAYS_FILE} lacks {", ".join(sorted(missing))}')
    for color in record.palette:
        if len(color) != 3 or not all(isinstance(v, int) and 0 <= v < 256 for v in color):
            raise ValueError(f'palette holds {color}')
    if record.palette and len(record.palette) < len(record.classes):
        raise ValueError(f'palette holds {len(record.palette)} of {len(record.classes)} colors')
    for name in ('images', 'classes'):
        if not getattr(record, name):
            raise UserError(f'the report holds no {name}')
        if not all(isinstance(each, str) for each in getattr(record, name)):
            raise ValueError(f'{name} must be names')
    for name in ('scores', 'run'):
        if not isinstance(getattr(record, name), dict):
            raise ValueError(f'{name} must be an object')
    _check_arrays(record)


def _check_arrays(record: Record) -> None:
    """Refuse arrays of other rows than those beside them, and labels beyond the classes."""
    groups: dict[str, list[str]] = {}
    for name in set(ARRAYS[record.task].split()) - _ALONE:
        group = 'image' if record.task == 'classification' else name.partition('_')[0]
        groups.setdefault(group, []).append(name)
    for names in groups.values():
        if len({len(record.arrays[name]) for name in names}) > 1:
            raise ValueError(f'{", ".join(sorted(names))} must have equally many rows')
    num_images, arrays = len(record.images), record.arrays
    rows = dict(truth=num_images, image_id=num_images, thumb_end=2 * num_images, sure_sum=SURE_BINS)
    # Masks may hold labels beyond the classes, which count as one more.
    num_labels = len(record.classes) + (record.task == 'segmentation')
    limits = dict.fromkeys(LABELS, num_labels) | dict(truth_crowd=2, sure_bin=SURE_BINS, thumbs=256)
    for name in ARRAYS[record.task].split():
        values = arrays[name]
        limit = num_images if name.endswith('_image') else limits.get(name)
        if name == 'thumb_end':
            limit = len(arrays['thumbs']) + 1
        if len(values) != rows.get(name, len(values)):
            raise ValueError(f'{name} has {len(values)} rows, not {rows[name]}')
        if values.dtype.kind not in ('iu' if limit else 'iufb'):
            raise ValueError(f'{name} holds {values.dtype}')
        if limit and values.size and not 0 <= values.min() <= values.max() < limit:
            raise ValueError(f'{name} holds {values.min()} to {values.max()}, of {limit}')
        if name in ('pred_image', 'truth_image') and (np.diff(values) < 0).any():
            raise ValueError(f'{name} must be ascending')
