"""Labels of masks: those without a class, and masks without anything to learn."""

from collections import Counter

from .report import SplitReport
from .sources import DataSource

# By name of a mask the number of its pixels by label.
Pixels = dict[str, dict[int, int]]

_BINARY = (
    "for one class and its background use two: classes=('background', NAME) with labels 0 and 1 "
    'and num_classes=2 (out_channels=1 and use_sigmoid=True give it one output)'
)


def add_label_problems(
    report: SplitReport, source: DataSource, pixels: Pixels, complete: bool
) -> None:
    """Compare the labels of masks with the classes.

    Args:
        report: Receives problems, notes and the table of classes.
        source: A data set of segmentation.
        pixels: The masks that were read.
        complete: Whether all masks were read.
    """
    if _add_foreign_classes(report, source):
        return
    names = _mask_classes(source)
    first = int(bool(source.get('reduce_zero_label')))
    ignored = {0, 255} if first else {255, source.get('ignore_index')}
    total: Counter[int] = Counter()
    for each in pixels.values():
        total.update(each)
    if names:
        _add_unknown_labels(report, pixels, names, first, ignored)
        classes = range(first, first + len(names))
        _add_per_class(report, pixels, names, first)
        if total and complete:
            _add_empty_lessons(report, total, classes, ignored)
    unseen = [name for index, name in enumerate(names, first) if not total[index]]
    if complete and unseen and len(unseen) < len(names):
        report.notes.append(
            f'{len(unseen)} of {len(names)} classes have no pixel: '
            f'{", ".join(unseen[:8])}{", ..." if unseen[8:] else ""}'
        )
    _explain_reduction(report, source)


def _add_foreign_classes(report: SplitReport, source: DataSource) -> bool:
    """Names that are not of the data set's type, which mmseg refuses to number."""
    theirs = source.cls.METAINFO.get('classes')
    foreign = [name for name in source.classes if name not in (theirs or source.classes)]
    if foreign:
        kind = source.cls.__name__
        report.add(
            'foreign_classes',
            f'metainfo.classes has {", ".join(map(repr, foreign[:4]))}, which are none of the '
            f"{len(theirs)} classes of {kind}; for classes of your own set type='BaseSegDataset'",
            fatal=True,
        )
    return bool(foreign)


def _add_unknown_labels(
    report: SplitReport, pixels: Pixels, names: tuple[str, ...], first: int, ignored: set[int]
) -> None:
    """Masks with labels that are neither a class nor ignored."""
    last = first + len(names) - 1
    seen = {label for each in pixels.values() for label in each}
    bad = {}
    for name, each in pixels.items():
        wrong = sorted(label for label in each if not first <= label <= last)
        wrong = [label for label in wrong if label not in ignored]
        if wrong:
            bad[name] = wrong
    hint = ''
    if not first and 0 not in seen and max(seen, default=0) == len(names):
        hint = (
            '; they run from 1 to the number of classes, which is what '
            'reduce_zero_label=True is for'
        )
    elif len(names) == 1:
        hint = f'; {_BINARY}'
    report.add_files(
        'labels',
        f'masks with labels beyond num_classes={len(names)} (allowed: {first} to {last}, '
        f'{"0 and 255" if first else "255"} for ignored){hint}',
        [f'{name}: {wrong[:8]}' for name, wrong in bad.items()],
        len(pixels),
    )


def _add_empty_lessons(
    report: SplitReport, total: Counter[int], classes: range, ignored: set[int]
) -> None:
    """Masks, all of them, from which a model cannot learn to distinguish."""
    present = sorted(set(total) & set(classes))
    if len(present) > 1 or set(total) - set(classes) - ignored:
        return
    zero_is_ignored = classes.start > 0
    values = ', '.join(map(str, sorted(total)))
    what = f'all masks hold only the values {values}'
    if not present:
        message = f'{what}, which are ignored, so there is nothing to learn'
        if zero_is_ignored:
            message += '; with reduce_zero_label=True classes count from 1'
        else:
            message += '; write class indices 0, 1, ... into the masks'
        report.add('all_ignored', message, fatal=True)
    elif len(classes) == 1:
        report.add(
            'one_class',
            f'{what}: the only class and ignored pixels, so the model learns to predict that '
            f'class everywhere; {_BINARY}',
            fatal=True,
        )
    elif set(total) == {0, 255}:
        report.add(
            'black_and_white',
            f'{what}, and 255 is ignored, so only class 0 would be trained; write the class '
            'index 1 in place of 255 (mask // 255)',
            fatal=True,
        )
    else:
        report.add(
            'single_value',
            f'{what}, a single class of {len(classes)}, so there is nothing to distinguish; '
            'check that the masks hold class indices',
            fatal=True,
        )


def _add_per_class(report: SplitReport, pixels: Pixels, names: tuple[str, ...], first: int) -> None:
    """For each class its share of the pixels, and the images that show it."""
    total = sum(sum(each.values()) for each in pixels.values())
    for index, name in enumerate(names, first):
        counts = [each[index] for each in pixels.values() if index in each]
        share = round(100 * sum(counts) / total, 3) if total else 0.0
        report.per_class[name] = {'images': len(counts), '% of pixels': share}


def _mask_classes(source: DataSource) -> tuple[str, ...]:
    """Classes as the masks number them.

    A config that names a part of the classes of the data set makes mmseg
    renumber the labels, so the masks still hold all of them.
    """
    return tuple(source.cls.METAINFO.get('classes') or source.classes)


def _explain_reduction(report: SplitReport, source: DataSource) -> None:
    """Explain ``reduce_zero_label``, and report where the config contradicts."""
    reduce, last = bool(source.get('reduce_zero_label')), len(source.classes)
    if reduce:
        report.notes.append(
            'reduce_zero_label=True: 0 in a mask means unlabeled and is '
            f'ignored, labels 1 to {last} are the classes 0 to {last - 1}.'
        )
    else:
        report.notes.append(
            f'reduce_zero_label=False: labels 0 to {last - 1} in a mask are '
            f'the classes themselves, {source.get("ignore_index")} is '
            'ignored.'
        )
    for step in source.pipeline:
        set_here = step.get('reduce_zero_label')
        if set_here is not None and bool(set_here) != reduce:
            report.add(
                'reduce_zero_label',
                f'{step["type"]}(reduce_zero_label={set_here}) in the pipeline '
                f'contradicts reduce_zero_label={reduce} of the data set',
                fatal=True,
            )
