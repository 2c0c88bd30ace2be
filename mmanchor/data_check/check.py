"""Pre-flight check of the data of a config: counts, and what is wrong."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from ..utils.errors import UserError
from ..utils.progress import Track, silently
from . import classification as cls_check
from . import detection as coco_check
from . import segmentation as seg_check
from .report import SplitReport
from .sources import SPLITS, DataSource, data_sources


def check_data(
    cfg: Config, splits: Sequence[str] = SPLITS, limit: int | None = None, track: Track = silently
) -> list[SplitReport]:
    """Check the files that the dataloaders of a config would read.

    Nothing is built and nothing is written. Splits that read the same files
    in the same way are checked once.

    Args:
        cfg: A config of mmseg, mmdet or mmpretrain.
        splits: Those of interest; one that the config lacks is passed over.
        limit: Read at most this many files of each data set, spread evenly;
            ``None`` reads all.
        track: Shows progress: called with an iterable, a description and the
            length, it returns an iterable of the same items.

    Returns:
        One report per data set.

    Raises:
        UserError: If files are missing, so that nothing can be checked; the
            message says which and how to get them.
    """
    reports: list[SplitReport] = []
    seen: dict[str, SplitReport] = {}
    for source in data_sources(cfg, splits):
        key = _fingerprint(source)
        if key in seen:
            seen[key].splits.append(source.split)
            continue
        if source.kind == 'segmentation':
            report = seg_check.check(source, limit, track)
        elif source.kind == 'detection':
            report = coco_check.check(source, limit, track)
        elif source.kind == 'classification':
            report = cls_check.check(source, limit, track)
        else:
            report = SplitReport([source.split], source.cls.__name__)
            report.notes.append(
                f'{source.cls.__name__} is no BaseSegDataset, CocoDataset or '
                'CustomDataset; its files were not read'
            )
        _check_num_classes(cfg, source, report)
        seen[key] = report
        reports.append(report)
    return reports


def _fingerprint(source: DataSource) -> str:
    """Equal for data sets that read the same files in the same way."""
    keys = (
        'data_root',
        'data_prefix',
        'ann_file',
        'split',
        'metainfo',
        'reduce_zero_label',
        'img_suffix',
        'seg_map_suffix',
    )
    return repr([source.cls, *(source.get(key) for key in keys)])


def _check_num_classes(cfg: Config, source: DataSource, report: SplitReport) -> None:
    """Compare ``num_classes`` of the model's heads with the class list."""
    classes = source.classes
    for name, number in _num_classes(cfg.get('model')).items():
        if classes and number != len(classes):
            report.add(
                'num_classes',
                f'model.{name}.num_classes is {number}, but '
                f'the data set has {len(classes)} classes',
                1,
            )


def require_num_classes(cfg: Config, splits: Sequence[str]) -> None:
    """Stop if a classifier has more or fewer classes than its data.

    Args:
        cfg: A config of mmpretrain.
        splits: Those that will be read.

    Raises:
        UserError: Naming both numbers.
    """
    for source in data_sources(cfg, splits):
        cls_check.require_folders(source)
        report = SplitReport([source.split], source.cls.__name__)
        _check_num_classes(cfg, source, report)
        for problem in report.problems:
            raise UserError(f'{source.split}_dataloader: {problem.message}')


def _num_classes(node: Any, prefix: str = '') -> dict[str, int]:
    """Every ``num_classes`` in a model config, by its dotted place.

    A segmentor may hold its heads in lists.
    """
    found = {}
    if isinstance(node, dict):
        if prefix and isinstance(node.get('num_classes'), int):
            found[prefix] = node['num_classes']
        items = node.items()
    elif isinstance(node, (list, tuple)):
        items = enumerate(node)
    else:
        return found
    for key, value in items:
        found.update(_num_classes(value, f'{prefix}.{key}'.lstrip('.')))
    return found
