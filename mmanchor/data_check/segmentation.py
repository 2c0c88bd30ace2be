"""Check of data sets of pictures and masks (mmseg's ``BaseSegDataset``)."""

import os.path as osp
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..utils.progress import Track
from .report import SplitReport, picture_error, read_all, spread
from .sources import DataSource, require_paths

# What Pillow calls pictures with one 8-bit (or 1-bit) channel of indices.
_MASK_MODES = ('L', 'P', '1')


@dataclass
class PairFacts:
    """What reading one picture and its mask told."""

    name: str
    image_error: str | None = None
    mask_error: str | None = None
    image_size: list[int] = field(default_factory=list)
    mask_size: list[int] = field(default_factory=list)
    mask_mode: str = 'L'
    labels: Sequence[int] = ()


def check(source: DataSource, limit: int | None, track: Track) -> SplitReport:
    """Check one data set.

    Args:
        source: A data set of segmentation.
        limit: Read at most this many pairs; ``None`` reads all.
        track: Shows progress.

    Returns:
        What was found.

    Raises:
        UserError: If a folder is missing.
    """
    require_paths(source)
    images, masks = _list_files(source)
    mask_dir = source.folder('seg_map_path')
    report = SplitReport(
        [source.split],
        source.cls.__name__,
        [place for place in (source.folder('img_path'), mask_dir, source.ann_file) if place],
        dict(images=len(images), masks=len(masks)),
    )
    report.add(
        'no_images',
        f'the folder holds no picture with the suffix {source.get("img_suffix")!r}',
        int(not images),
        report.places[:1],
    )
    if mask_dir is not None:
        report.add(
            'image_without_mask',
            'pictures without a mask of the same name '
            f'and the suffix {source.get("seg_map_suffix")!r}',
            sorted(set(images) - set(masks)),
        )
        report.add(
            'mask_without_image', 'masks without a picture', sorted(set(masks) - set(images))
        )
    names = spread(sorted(images), limit)
    pairs = [(name, images[name], masks.get(name)) for name in names]
    facts = read_all(_read_pair, pairs, track, f'{source.split}: reading')
    report.counts['files read'] = len(pairs)
    _add_file_problems(report, facts)
    if mask_dir is not None:
        _add_label_problems(report, source, facts, limit is None)
        _explain_reduction(report, source)
    return report


def _list_files(source: DataSource) -> tuple[dict[str, str], dict[str, str]]:
    """Pictures and masks by their name without suffix, ``{name: path}``."""
    folders = source.folder('img_path'), source.folder('seg_map_path')
    suffixes = source.get('img_suffix'), source.get('seg_map_suffix')
    found: list[dict[str, str]] = []
    for folder, suffix in zip(folders, suffixes):
        files = {}
        if folder is not None:
            for path in Path(folder).rglob(f'*{suffix}'):
                name = path.relative_to(folder).as_posix()
                files[name[: len(name) - len(suffix)]] = str(path)
        found.append(files)
    if source.ann_file and not osp.isdir(source.ann_file):
        lines = Path(source.ann_file).read_text(encoding='utf-8').splitlines()
        names = [line.strip() for line in lines]
        # A listed picture is counted, so that its absence is found on
        # reading; masks that are not listed are none of this split's.
        found[0] = {name: osp.join(folders[0] or '', name + suffixes[0])
                    for name in names}  # yapf: disable
        found[1] = {name: path for name, path in found[1].items()
                    if name in found[0]}  # yapf: disable
    return found[0], found[1]


def _read_pair(pair: tuple[str, str, str | None]) -> PairFacts:
    """Read a picture and, if there is one, its mask."""
    name, image, mask = pair
    facts = PairFacts(name)
    facts.image_error = picture_error(image, facts.image_size)
    if mask is None:
        return facts
    try:
        with Image.open(mask) as picture:
            facts.mask_size[:] = picture.size
            facts.mask_mode = picture.mode
            if picture.mode in _MASK_MODES:
                pixels = np.asarray(picture, dtype=np.uint8)
                facts.labels = np.flatnonzero(np.bincount(pixels.ravel()))
    # Pillow raises what its many decoders raise, SyntaxError included.
    except Exception as error:
        facts.mask_error = f'{type(error).__name__}: {error}'
    return facts


def _add_file_problems(report: SplitReport, facts: Sequence[PairFacts]) -> None:
    """Files that cannot be read, or do not fit together."""
    report.add(
        'unreadable_image',
        'pictures that cannot be read',
        [f'{each.name}: {each.image_error}' for each in facts if each.image_error],
    )
    report.add(
        'unreadable_mask',
        'masks that cannot be read',
        [f'{each.name}: {each.mask_error}' for each in facts if each.mask_error],
    )
    report.add(
        'mask_channels',
        'masks that are not one 8-bit channel of class indices',
        [
            f'{each.name}: mode {each.mask_mode}'
            for each in facts
            if each.mask_mode not in _MASK_MODES
        ],
    )
    report.add('size', 'masks of another size than their picture', [
        f'{each.name}: picture {each.image_size}, mask {each.mask_size}'
        for each in facts if each.mask_size and each.image_size
        and each.mask_size != each.image_size
    ])  # yapf: disable


def _add_label_problems(
    report: SplitReport, source: DataSource, facts: Sequence[PairFacts], complete: bool
) -> None:
    """Labels that are no class, and classes that no mask shows."""
    names = _mask_classes(source)
    first = int(bool(source.get('reduce_zero_label')))
    allowed = {
        *range(first, first + len(names)),
        0 if first else None,
        255,
        None if first else source.get('ignore_index'),
    }
    bad, seen = {}, set()
    for each in facts:
        seen.update(int(label) for label in each.labels)
        wrong = [int(label) for label in each.labels if label not in allowed]
        if wrong:
            bad[each.name] = wrong
    hint = ''
    if not first and 0 not in seen and max(seen, default=0) == len(names):
        hint = (
            '; they run from 1 to the number of classes, which is what '
            'reduce_zero_label=True is for'
        )
    if names:
        report.add(
            'labels',
            f'masks with labels beyond num_classes={len(names)} '
            f'(allowed: {first} to {first + len(names) - 1}, '
            f'{"0 and 255" if first else "255"} for ignored){hint}',
            [f'{name}: {wrong[:8]}' for name, wrong in bad.items()],
        )
    unseen = [name for index, name in enumerate(names, first)
              if index not in seen]  # yapf: disable
    if complete and unseen and len(unseen) < len(names):
        report.notes.append(
            f'{len(unseen)} of {len(names)} classes have no pixel: '
            f'{", ".join(unseen[:8])}{", ..." if unseen[8:] else ""}'
        )


def _mask_classes(source: DataSource) -> tuple[str, ...]:
    """Classes as the masks number them.

    A config that names a part of the classes of the data set makes mmseg
    renumber the labels, so the masks still hold all of them.
    """
    return tuple(source.cls.METAINFO.get('classes') or source.classes)


def _explain_reduction(report: SplitReport, source: DataSource) -> None:
    """Say what ``reduce_zero_label`` does here, and where it is torn."""
    reduce, last = bool(source.get('reduce_zero_label')), len(source.classes)
    if reduce:
        report.notes.append(
            'reduce_zero_label=True: 0 in a mask means unlabelled and is '
            f'ignored, labels 1 to {last} are the classes 0 to {last - 1}.'
        )
    else:
        report.notes.append(
            f'reduce_zero_label=False: labels 0 to {last - 1} in a mask are '
            f'the classes themselves, {source.get("ignore_index")} is '
            'ignored.'
        )
    for step in source.pipeline:
        told = step.get('reduce_zero_label')
        if told is not None and bool(told) != reduce:
            report.add(
                'reduce_zero_label',
                f'{step["type"]}(reduce_zero_label={told}) in the pipeline '
                f'contradicts reduce_zero_label={reduce} of the data set',
                1,
            )
