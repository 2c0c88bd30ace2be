"""What to predict on: images, folders, patterns, arrays, videos and webcams."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from .errors import UserError
from .files import PathLike
from .images import UnreadableImageError, as_bgr, dark_fault, read_image

IMAGE_SUFFIXES = (
    '.bmp',
    '.gif',
    '.jfif',
    '.jpeg',
    '.jpg',
    '.png',
    '.ppm',
    '.tif',
    '.tiff',
    '.webp',
)
VIDEO_SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')
# Refuses a file before it is decoded, by raising UnreadableImageError.
Check = Callable[[Path], None]


@dataclass
class Clip:
    """A video or a webcam.

    Args:
        name: Where its results go.
        fps: Frames per second.
        is_webcam: Whether it has no end.
    """

    name: str
    fps: float
    is_webcam: bool = False


@dataclass
class Frame:
    """One image.

    Args:
        name: Where its results go: a relative path without suffix.
        file: What it is called in lists of results.
        image: (H, W, 3) uint8, BGR; ``None`` if it cannot be read.
        path: The image file, if there is one.
        clip: The video that it is a frame of.
        fault: Why it cannot be read.
        note: What the user should know about it.
    """

    name: str
    file: str
    image: np.ndarray | None
    path: Path | None = None
    clip: Clip | None = None
    fault: str = ''
    note: str = ''


class ImageInput:
    """Image files, arrays and Pillow images, in the order given.

    Args:
        root: The folder that names of files are relative to.
        items: Paths, or what :func:`~mmanchor.utils.images.as_bgr` takes.
        rgb: Channels of arrays are RGB.
        check: Called with each path before it is read.
    """

    clip = None

    def __init__(
        self, root: Path, items: Sequence[Any], rgb: bool = False, check: Check | None = None
    ) -> None:
        self.root = root
        self._items = [each if isinstance(each, Path) else as_bgr(each, rgb) for each in items]
        self.total = len(self._items)
        self._check = check

    @property
    def paths(self) -> list[Path]:
        """Those that are files."""
        return [each for each in self._items if isinstance(each, Path)]

    @property
    def files(self) -> list[str]:
        """Paths relative to the root, with slashes; numbers for arrays."""
        return [
            _relative(each, self.root) if isinstance(each, Path) else f'{index:06d}'
            for index, each in enumerate(self._items)
        ]

    @property
    def named(self) -> Iterator[tuple[str, str, Any]]:
        """For each item ``file`` and ``name`` of its :class:`Frame`, and the item."""
        files = self.files
        return zip(files, distinct_names(files), self._items, strict=True)

    def __iter__(self) -> Iterator[Frame]:
        """Read the files one by one."""
        for file, name, item in self.named:
            if isinstance(item, Path):
                yield self._read(name, file, item)
            else:
                yield Frame(name, file, item)

    def _read(self, name: str, file: str, path: Path) -> Frame:
        frame = Frame(name, file, None, path)
        try:
            if self._check is not None:
                self._check(path)
            frame.image = read_image(path)
            # Only dark images are opened once more.
            if frame.image.size and frame.image.max() <= 16:
                frame.note = dark_fault(path) or ''
        except UnreadableImageError as error:
            frame.fault = str(error)
        return frame


class VideoInput:
    """Frames of a video file or a webcam.

    Args:
        source: A path, or the index of a webcam.
        max_frames: Stop after so many; ``None`` goes to the end.

    Raises:
        UserError: If it cannot be opened.
    """

    paths: Sequence[Path] = ()
    files: Sequence[str] = ()
    named: Sequence[tuple[str, str, Any]] = ()

    def __init__(self, source: str, max_frames: int | None = None) -> None:
        is_webcam = source.isdecimal() and not Path(source).exists()
        # OpenCV itself, as mmcv.VideoReader takes no webcam.
        self._capture = cv2.VideoCapture(int(source) if is_webcam else source)
        if not self._capture.isOpened():
            what = 'webcam' if is_webcam else 'video'
            raise UserError(f'the {what} {source!r} cannot be opened')
        self.clip = Clip(
            f'webcam-{source}' if is_webcam else Path(source).stem,
            self._capture.get(cv2.CAP_PROP_FPS) or 25.0,
            is_webcam,
        )
        # Webcams say -1, and some files 0.
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        limits = [n for n in (count, max_frames) if n is not None and n > 0]
        self.total = min(limits, default=None)
        self._max_frames = max_frames

    def __iter__(self) -> Iterator[Frame]:
        """Read frames until the end or the limit."""
        index = 0
        try:
            while self._max_frames is None or index < self._max_frames:
                ok, image = self._capture.read()
                if not ok:
                    return
                name = f'{self.clip.name}/{index:06d}'
                yield Frame(name, name, image, clip=self.clip)
                index += 1
        finally:
            self._capture.release()


Part = ImageInput | VideoInput


@dataclass
class Inputs:
    """Everything that a user named, one part after the other.

    Args:
        parts: Images, then videos.
        each_counts: Whether the user named every image, so that none may be
            passed over.
    """

    parts: list[Part] = field(default_factory=list)
    each_counts: bool = False

    @property
    def total(self) -> int | None:
        """Number of images and frames, if it is known."""
        total = 0
        for part in self.parts:
            if part.total is None:
                return None
            total += part.total
        return total

    @property
    def files(self) -> list[str]:
        """What the image files are called in lists of results."""
        return [file for part in self.parts for file in part.files]

    @property
    def paths(self) -> list[Path]:
        """The image files."""
        return [path for part in self.parts for path in part.paths]

    @property
    def named_paths(self) -> list[tuple[str, str, Path]]:
        """The image files, each behind ``file`` and ``name`` of its :class:`Frame`."""
        return [each for part in self.parts for each in part.named if isinstance(each[2], Path)]

    @property
    def clips(self) -> list[Clip]:
        """The videos and webcams."""
        return [part.clip for part in self.parts if part.clip is not None]

    def __iter__(self) -> Iterator[Frame]:
        for part in self.parts:
            yield from part


def open_input(
    source: Any,
    max_frames: int | None = None,
    skip: PathLike | None = None,
    rgb: bool = False,
    check: Check | None = None,
) -> Inputs:
    """Find out what a user wants predictions for.

    Args:
        source: An image file, a folder of images (searched through), a pattern
            such as ``'photos/*.jpg'``, a video, the index of a webcam, an array
            or a Pillow image (:func:`~mmanchor.utils.images.as_bgr`), or a list
            of them; videos come last.
        max_frames: Limit for each video and webcam.
        skip: A folder that is passed over if it is inside of ``source``, as
            that of an earlier run's results.
        rgb: Channels of arrays are RGB, not BGR.
        check: Called with the path of each image file before it is read; may
            raise :class:`~mmanchor.utils.images.UnreadableImageError`.

    Returns:
        The images and frames.

    Raises:
        UserError: If there is no such file, or no image in a folder.
    """
    many = isinstance(source, Iterable) and not isinstance(
        source, (str, os.PathLike, np.ndarray, Image.Image)
    )
    sources = list(source) if many else [source]
    if not sources:
        raise UserError('there is nothing to predict on: the list of inputs is empty')
    items: list[Any] = []
    roots: list[Path] = []
    videos: list[str] = []
    each_counts = True
    for each in sources:
        if isinstance(each, int) and not isinstance(each, bool):
            each = str(each)
        if not isinstance(each, (str, os.PathLike)):
            items.append(each)
            continue
        kind, found, root = _look_up(str(each), skip)
        each_counts &= kind == 'image'
        if kind == 'video':
            videos.append(str(each))
        else:
            items += found
            roots.append(root)
    inputs = Inputs(each_counts=each_counts)
    if items:
        if not each_counts:
            # Two patterns may match the same file.
            items = list(
                {id(each) if not isinstance(each, Path) else each: each for each in items}.values()
            )
        inputs.parts.append(ImageInput(_common(roots), items, rgb, check))
    inputs.parts += [VideoInput(each, max_frames) for each in videos]
    _rename_clips(inputs.clips)
    return inputs


def _look_up(source: str, skip: PathLike | None) -> tuple[str, list[Path], Path]:
    """What a word means, its image files, and the folder they are relative to.

    Raises:
        UserError: If it means nothing.
    """
    path = Path(source)
    if source and path.is_dir():
        paths = _images_below(path, skip)
        if not paths:
            raise UserError(f'the folder {source!r} holds no image ({", ".join(IMAGE_SUFFIXES)})')
        return 'folder', paths, path
    if path.is_file():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            return 'video', [], path
        return 'image', [path], path.parent
    if source.isdecimal():
        return 'video', [], path
    if glob.has_magic(source):
        matches = sorted(map(Path, glob.glob(source, recursive=True)))
        paths = [each for each in matches if _is_image(each)]
        if paths:
            return 'pattern', paths, _common([each.parent for each in paths])
        raise UserError(f'no image matches the pattern {source!r}')
    raise UserError(
        f'there is no image, folder or video {source!r} (and it is not the number of a webcam)'
    )


def _images_below(folder: Path, skip: PathLike | None) -> list[Path]:
    paths = sorted(each for each in folder.rglob('*') if _is_image(each))
    own = None if skip is None else Path(skip).resolve()
    if own is not None and folder.resolve() in own.parents:
        paths = [each for each in paths if own not in each.resolve().parents]
    return paths


def _is_image(path: Path) -> bool:
    # A link in a circle is listed too: reading it says what is wrong.
    return path.suffix.lower() in IMAGE_SUFFIXES and (path.is_file() or path.is_symlink())


def _common(folders: Sequence[Path]) -> Path:
    """The deepest folder that holds all of them."""
    if len(set(folders)) < 2:
        return folders[0] if folders else Path()
    return Path(os.path.commonpath([os.path.abspath(each) for each in folders]))


def _relative(path: Path, root: Path) -> str:
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return Path(os.path.abspath(path)).relative_to(os.path.abspath(root)).as_posix()


def distinct_names(files: Sequence[str]) -> list[str]:
    """Names without suffix; with it wherever two would be the same.

    Args:
        files: Relative paths.

    Returns:
        A name for each, none twice; a file that is listed twice gets a number.

    Example:
        >>> distinct_names(['a.jpg', 'a.png', 'a.jpg.bmp', 'b.png'])
        ['a.jpg', 'a.png', 'a.jpg.bmp', 'b']
    """
    names = [Path(file).with_suffix('').as_posix() for file in files]
    full: set[int] = set()
    while True:
        holders: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            holders.setdefault(name, []).append(index)
        clashing = {index for same in holders.values() if len(same) > 1 for index in same} - full
        if not clashing:
            break
        full |= clashing
        for index in clashing:
            names[index] = files[index]
    for name, same in holders.items():
        for number, index in enumerate(same[1:], 2):
            names[index] = f'{name}-{number}'
    return names


def _rename_clips(clips: Sequence[Clip]) -> None:
    for clip, name in zip(clips, distinct_names([f'{each.name}.x' for each in clips]), strict=True):
        clip.name = name.removesuffix('.x')
