"""Check of images and masks (mmseg's ``BaseSegDataset``)."""

import os.path as osp
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..datasets.mask_files import mode_fault
from ..utils.progress import Track
from .images import ImageFacts, add_image_problems, decoding_of, read_image_facts
from .labels import add_label_problems
from .report import SplitReport, read_all, spread
from .sources import DataSource, require_paths


@dataclass
class PairFacts:
    """What reading one image and its mask showed.

    Args:
        name: Their common name, without suffix.
        image: Facts of the image.
        mask_error: Why the mask cannot be read.
        mask_fault: Why the mask does not hold class indices.
        mask_size: Width and height of the mask.
        is_lossy: Whether the mask is a JPEG.
        pixels: Number of pixels by label, ``{label: number}``.
    """

    name: str
    image: ImageFacts
    mask_error: str | None = None
    mask_fault: str | None = None
    mask_size: tuple[int, int] | None = None
    is_lossy: bool = False
    pixels: dict[int, int] = field(default_factory=dict)


def check(source: DataSource, limit: int | None, track: Track) -> SplitReport:
    """Check one data set.

    Args:
        source: A data set of segmentation.
        limit: Read at most this many pairs; ``None`` reads all. All are read
            if those seem to have no class to learn.
        track: Shows progress.

    Returns:
        What was found.

    Raises:
        UserError: If a folder is missing.
    """
    require_paths(source)
    images, masks = _list_files(source)
    mask_dir = source.folder('seg_map_path')
    places = (source.folder('img_path'), mask_dir, source.ann_file)
    report = SplitReport(
        [source.split],
        source.cls.__name__,
        [place for place in places if place],
        dict(images=len(images), masks=len(masks)),
    )
    _add_pairing_problems(report, source, images, masks)
    chosen = spread(sorted(images), limit)
    facts = _read(source, chosen, images, masks, track)
    labels = {label for each in facts for label in each.pixels}
    if mask_dir is not None and len(labels) <= 2 and len(chosen) < len(images):
        facts = _read(source, sorted(images), images, masks, track)
    report.counts['files read'] = len(facts)
    _add_file_problems(report, facts, images)
    if mask_dir is not None:
        pixels = {each.name: each.pixels for each in facts if each.pixels}
        add_label_problems(report, source, pixels, len(facts) == len(images))
    return report


def _read(
    source: DataSource,
    names: Sequence[str],
    images: dict[str, str],
    masks: dict[str, str],
    track: Track,
) -> list[PairFacts]:
    """Read the images of these names and, where there is one, their mask."""
    decoding = decoding_of(source.pipeline)

    def read(name: str) -> PairFacts:
        facts = PairFacts(name, read_image_facts(images[name], decoding))
        if name in masks:
            _read_mask(facts, masks[name])
        return facts

    return read_all(read, names, track, f'{source.split}: reading')


def _read_mask(facts: PairFacts, path: str) -> None:
    """Read a mask as mmseg does, by Pillow."""
    try:
        with Image.open(path) as mask:
            facts.mask_size = mask.size
            facts.is_lossy = mask.format == 'JPEG'
            facts.mask_fault = mode_fault(mask)
            if facts.mask_fault is None:
                counts = np.bincount(np.asarray(mask).ravel().astype(np.uint8))
                facts.pixels = {int(label): int(counts[label]) for label in counts.nonzero()[0]}
    # Pillow raises what its many decoders raise, SyntaxError included.
    except Exception as error:
        facts.mask_error = f'{type(error).__name__}: {error}'


def _list_files(source: DataSource) -> tuple[dict[str, str], dict[str, str]]:
    """Images and masks by their name without suffix, ``{name: path}``."""
    folders = source.folder('img_path'), source.folder('seg_map_path')
    suffixes = source.get('img_suffix'), source.get('seg_map_suffix')
    images, masks = (_with_suffix(*pair) for pair in zip(folders, suffixes, strict=True))
    if source.ann_file and not osp.isdir(source.ann_file):
        lines = Path(source.ann_file).read_text(encoding='utf-8').splitlines()
        names = [line.strip() for line in lines if line.strip()]
        # A listed image is counted, so that its absence is found on reading;
        # masks that are not listed belong to another split.
        images = {name: osp.join(folders[0] or '', name + suffixes[0]) for name in names}
        masks = {name: path for name, path in masks.items() if name in images}
    return images, masks


def _with_suffix(folder: str | None, suffix: str) -> dict[str, str]:
    """Files below a folder, hidden ones left out as mmseg does."""
    files = {}
    for path in Path(folder).rglob(f'*{suffix}') if folder is not None else ():
        name = path.relative_to(folder).as_posix()
        if not path.name.startswith('.'):
            files[name[: len(name) - len(suffix)]] = str(path)
    return files


def _add_pairing_problems(
    report: SplitReport, source: DataSource, images: dict[str, str], masks: dict[str, str]
) -> None:
    """Images without masks, masks without images, and other suffixes."""
    image_suffix, mask_suffix = source.get('img_suffix'), source.get('seg_map_suffix')
    image_dir, mask_dir = source.folder('img_path'), source.folder('seg_map_path')
    if not images:
        report.add('no_images', f'{image_dir} has no image with the suffix {image_suffix!r}; '
                   'set img_suffix', fatal=True)  # fmt: skip
    for folder, suffix, option in (
        (image_dir, image_suffix, 'img_suffix'),
        (mask_dir, mask_suffix, 'seg_map_suffix'),
    ):
        others = _in_other_case(folder, suffix)
        report.add(
            'suffix_case',
            f'files in {folder} have the suffix {suffix!r} in another case and are left out; '
            f'rename them ({option} fits one spelling only)',
            others,
            fatal=not images,
        )
    if mask_dir is None:
        return
    report.add_files(
        'image_without_mask',
        f'images without a mask of the same name and the suffix {mask_suffix!r} in {mask_dir}',
        sorted(set(images) - set(masks)),
        len(images),
    )
    report.add(
        'mask_without_image',
        f'masks without an image of the same name and the suffix {image_suffix!r} in '
        f'{image_dir}; they are not used',
        sorted(set(masks) - set(images)),
    )


def _in_other_case(folder: str | None, suffix: str) -> list[str]:
    """Files whose suffix differs from ``suffix`` by case only."""
    if folder is None or not Path(folder).is_dir():
        return []
    names = (path.relative_to(folder).as_posix() for path in Path(folder).rglob('*'))
    return sorted(
        name
        for name in names
        if name.lower().endswith(suffix.lower()) and not name.endswith(suffix)
    )


def _add_file_problems(
    report: SplitReport, facts: Sequence[PairFacts], images: dict[str, str]
) -> None:
    """Files that cannot be read, or do not fit together."""
    total = len(facts)
    paths = [images[each.name] for each in facts]
    add_image_problems(report, paths, [each.image for each in facts])
    report.add_files(
        'unreadable_mask',
        'masks that cannot be read',
        [f'{each.name}: {each.mask_error}' for each in facts if each.mask_error],
        total,
    )
    report.add_files(
        'mask_channels',
        'masks that do not hold one class index per pixel',
        [f'{each.name} {each.mask_fault}' for each in facts if each.mask_fault],
        total,
    )
    report.add(
        'lossy_mask',
        'masks are JPEG files, whose compression changes labels at borders; '
        'save masks as PNG, from the original labels',
        [each.name for each in facts if each.is_lossy],
    )
    report.add_files(
        'size',
        'masks of another size than their image as the pipeline reads it',
        [_size_fault(each) for each in facts if _differ(each)],
        total,
    )


def _differ(facts: PairFacts) -> bool:
    sizes = facts.image.size, facts.mask_size
    return None not in sizes and sizes[0] != sizes[1]


def _size_fault(facts: PairFacts) -> str:
    """The two sizes, and whether a turned image explains them."""
    image, mask = facts.image.size, facts.mask_size
    hint = ''
    if mask == image[::-1]:
        hint = '; turn the mask by 90 degrees'
        if facts.image.turned:
            hint = ', turned by its EXIF orientation; turn the mask likewise'
    return f'{facts.name}: image {image[0]} x {image[1]}{hint}; mask {mask[0]} x {mask[1]}'
