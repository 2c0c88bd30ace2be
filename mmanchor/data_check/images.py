"""Image files as the loaders of the toolboxes see them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mmcv
from PIL import Image

from ..datasets.image_files import decoding_fault, image_fault
from ..utils.images import dark_fault, opencv_limit
from .report import SplitReport

_ORIENTATION = 0x0112
# Modes of Pillow that OpenCV reads without a loss worth a second look.
_PLAIN_MODES = ('RGB', 'RGBA', 'L', 'LA', 'P', '1', 'CMYK', 'YCbCr')


@dataclass
class ImageFacts:
    """What reading an image showed.

    Args:
        size: Width and height as the loader sees them; ``None`` if unknown.
        error: Why it cannot be read.
        dark: Why it is read nearly black.
        turned: Whether its EXIF orientation swaps width and height.
    """

    size: tuple[int, int] | None = None
    error: str | None = None
    dark: str | None = None
    turned: bool = False


def decoding_of(pipeline: Sequence[dict[str, Any]]) -> dict[str, str]:
    """``flag`` and ``backend`` of ``mmcv.imread`` that a pipeline reads with.

    Args:
        pipeline: Configs of transforms.
    """
    for step in pipeline:
        if str(step.get('type')).endswith('LoadImageFromFile'):
            flag, backend = step.get('color_type', 'color'), step.get('imdecode_backend', 'cv2')
            return dict(flag=flag, backend=backend)
    return dict(flag='color', backend='cv2')


def read_image_facts(path: str, decoding: dict[str, str]) -> ImageFacts:
    """Decode an image, as cheaply as its kind allows.

    Args:
        path: A local file.
        decoding: As :func:`decoding_of` returned it.
    """
    fault = image_fault(path)
    if fault:
        return ImageFacts(error=fault)
    try:
        with Image.open(path) as image:
            facts = ImageFacts(image.size)
            kind, mode = image.format, image.mode
            orientation = image.getexif().get(_ORIENTATION, 1)
            facts.turned = orientation in (5, 6, 7, 8)
            # JPEG may decode at an eighth of its size: faster, and still
            # through every byte of the file.
            image.draft('RGB', (image.width // 8, image.height // 8))
            image.load()
    # Pillow raises what its many decoders raise, SyntaxError included. What
    # counts is what the loader reads.
    except Exception:
        return _by_loader(path, decoding, ImageFacts())
    large = facts.size[0] * facts.size[1] > opencv_limit()
    if large or orientation != 1 or mode not in _PLAIN_MODES:
        facts = _by_loader(path, decoding, facts)
    if facts.error is None and kind != 'JPEG':
        facts.dark = dark_fault(path)
    return facts


def _by_loader(path: str, decoding: dict[str, str], facts: ImageFacts) -> ImageFacts:
    """Decode with the toolbox's own loader."""
    facts.error = decoding_fault(path, **decoding)
    if facts.error is None:
        height, width = mmcv.imread(path, **decoding).shape[:2]
        facts.size = (width, height)
    return facts


def add_image_problems(
    report: SplitReport, paths: Sequence[str], facts: Sequence[ImageFacts]
) -> None:
    """Record images that cannot be read, or are read nearly black."""
    pairs = list(zip(paths, facts, strict=True))
    report.add_files(
        'unreadable_image',
        'images that cannot be read',
        [f'{path} {each.error}' for path, each in pairs if each.error],
        len(pairs),
    )
    report.add_files(
        'dark_image',
        'images of 16 bits that use only the lower part of their range',
        [f'{path} {each.dark}' for path, each in pairs if each.dark],
        len(pairs),
        unreadable=False,
    )


def in_other_case(path: str) -> str | None:
    """The path of a file whose name differs from ``path`` by case only."""
    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder or '.')
    except OSError:
        return None
    close = [each for each in names if each.lower() == name.lower() and each != name]
    return os.path.join(folder, close[0]) if close else None
