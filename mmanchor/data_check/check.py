"""Check the data of a config: counts, and what is wrong."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from ..datasets.class_names import text_fault
from ..utils.progress import Track, silently
from . import classification, detection, segmentation
from .report import SplitReport
from .sources import SPLITS, DataSource, data_sources

_CHECKS = dict(
    segmentation=segmentation.check, detection=detection.check, classification=classification.check
)


def check_data(
    cfg: Config, splits: Sequence[str] = SPLITS, limit: int | None = None, track: Track = silently
) -> list[SplitReport]:
    """Check the files that the dataloaders of a config would read.

    Nothing is written. Splits that read the same files in the same way are
    checked once.

    Args:
        cfg: A config of mmseg, mmdet or mmpretrain.
        splits: Those of interest; one that the config lacks is skipped.
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
    sources = data_sources(cfg, splits)
    for source in sources:
        key = _fingerprint(source)
        if key in seen:
            seen[key].splits.append(source.split)
            continue
        seen[key] = _check(cfg, source, limit, track)
        reports.append(seen[key])
    if reports:
        classification.compare_splits(sources, reports[-1])
    return reports


def _check(cfg: Config, source: DataSource, limit: int | None, track: Track) -> SplitReport:
    """The check of the data set's task."""
    report = SplitReport([source.split], source.cls.__name__)
    fault = text_fault((source.cfg.get('metainfo') or {}).get('classes'))
    if fault:
        report.add('classes_text', fault, fatal=True)
        return report
    if source.task in _CHECKS:
        report = _CHECKS[source.task](source, limit, track)
        if not _evaluates_file(cfg, source.split):
            for problem in report.problems:
                problem.fatal &= problem.code not in detection.FOR_EVALUATION
    else:
        report.notes.append(
            f'{source.cls.__name__} does not list its files as BaseSegDataset, CocoDataset or '
            'CustomDataset do; they were not read'
        )
    if source.classes:
        _check_num_classes(cfg, source, report)
    return report


def _evaluates_file(cfg: Config, split: str) -> bool:
    """Whether a metric of a split reads COCO's annotation file itself."""
    metrics = cfg.get(f'{split}_evaluator')
    return any(
        isinstance(each, dict)
        and str(each.get('type')).endswith('CocoMetric')
        and each.get('ann_file')
        for each in (metrics if isinstance(metrics, (list, tuple)) else [metrics])
    )


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
    # Faults that only stop an evaluation depend on the split.
    evaluated = source.task == 'detection' and source.split != 'train'
    return repr([source.cls, evaluated, *(source.get(key) for key in keys)])


def _check_num_classes(cfg: Config, source: DataSource, report: SplitReport) -> None:
    """Compare ``num_classes`` of the model's heads with the class list."""
    classes = source.classes
    for name, number in _num_classes(cfg.get('model')).items():
        if number != len(classes):
            report.add(
                'num_classes',
                f'model.{name}.num_classes is {number}, but '
                f'the data set has {len(classes)} classes',
                fatal=_is_too_few(source, name, number),
            )


def _is_too_few(source: DataSource, head: str, number: int) -> bool:
    """Whether a number of classes must fail; outputs without a label may be intended."""
    if source.task == 'classification':
        return True
    heads = dict(segmentation='decode_head', detection='bbox_head').get(source.task)
    return heads is not None and heads in head and number < len(source.classes)


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
