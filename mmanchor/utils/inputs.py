"""Pictures to predict on: a file, a folder, a video or a webcam."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import mmcv
import numpy as np

from ..utils.errors import UserError
from ..utils.files import PathLike

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')
VIDEO_SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm', '.wmv')


@dataclass
class Frame:
    """One picture.

    Args:
        name: Where its results go: a relative path without suffix.
        file: What it is called in lists of results.
        image: (H, W, 3) uint8, BGR; ``None`` if it cannot be read.
    """

    name: str
    file: str
    image: np.ndarray | None


class ImageInput:
    """Image files.

    Args:
        root: The folder that names are relative to.
        paths: The files.
    """

    is_video = is_webcam = False

    def __init__(self, root: Path, paths: Sequence[Path]) -> None:
        self.root = root
        self.paths = list(paths)
        self.total = len(self.paths)

    @property
    def files(self) -> list[str]:
        """Paths relative to the root, with slashes."""
        return [path.relative_to(self.root).as_posix() for path in self.paths]

    def __iter__(self) -> Iterator[Frame]:
        """Read the files one by one."""
        names = _distinct_names(self.root, self.paths)
        for path, file in zip(self.paths, self.files):
            yield Frame(names[path], file, read_image(path))


class VideoInput:
    """Frames of a video file or a webcam.

    Args:
        source: A path, or the index of a webcam.
        max_frames: Stop after so many; ``None`` goes to the end.

    Raises:
        UserError: If it cannot be opened.
    """

    is_video = True

    def __init__(self, source: str, max_frames: int | None = None) -> None:
        self.is_webcam = source.isdecimal() and not Path(source).exists()
        self.name = f'webcam-{source}' if self.is_webcam else Path(source).stem
        self._capture = cv2.VideoCapture(int(source) if self.is_webcam else source)
        if not self._capture.isOpened():
            what = 'webcam' if self.is_webcam else 'video'
            raise UserError(f'the {what} {source!r} cannot be opened')
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or 25.0
        # Webcams tell -1, and some files 0.
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
                name = f'{self.name}/{index:06d}'
                yield Frame(name, name, image)
                index += 1
        finally:
            self._capture.release()


def open_input(
    source: str, max_frames: int | None = None, skip: PathLike | None = None
) -> ImageInput | VideoInput:
    """Find out what a user wants predictions for.

    Args:
        source: An image, a folder of images (searched through), a video, or
            the index of a webcam.
        max_frames: Limit for videos and webcams.
        skip: A folder that is passed over if it is inside of ``source``, as
            that of an earlier run's results.

    Returns:
        An :class:`ImageInput` or a :class:`VideoInput`.

    Raises:
        UserError: If there is no such file, or no image in the folder.
    """
    path = Path(source)
    if path.is_dir():
        paths = sorted(
            each
            for each in path.rglob('*')
            if each.suffix.lower() in IMAGE_SUFFIXES and each.is_file()
        )
        own = None if skip is None else Path(skip).resolve()
        if own is not None and path.resolve() in own.parents:
            paths = [each for each in paths
                     if own not in each.resolve().parents]  # yapf: disable
        if not paths:
            raise UserError(f'the folder {source!r} holds no image ({", ".join(IMAGE_SUFFIXES)})')
        return ImageInput(path, paths)
    if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
        return VideoInput(source, max_frames)
    if path.is_file():
        return ImageInput(path.parent, [path])
    if source.isdecimal():
        return VideoInput(source, max_frames)
    raise UserError(
        f'there is no image, folder or video {source!r} (and it is not the number of a webcam)'
    )


def read_image(path: Path) -> np.ndarray | None:
    """Read a picture as the test pipelines do.

    Args:
        path: The file.

    Returns:
        (H, W, 3) uint8, BGR; ``None`` if it cannot be read.
    """
    try:
        return mmcv.imread(str(path))
    except (OSError, cv2.error):
        return None


def _distinct_names(root: Path, paths: Sequence[Path]) -> dict[Path, str]:
    """Names without suffix; with it where two files differ in that only."""
    by_name: dict[str, list[Path]] = {}
    for path in paths:
        name = path.relative_to(root).with_suffix('').as_posix()
        by_name.setdefault(name, []).append(path)
    names = {}
    for name, same in by_name.items():
        for path in same:
            names[path] = name if len(same) == 1 else name + path.suffix
    return names
