"""What a visitor of the page gives: checked before it is read."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..utils.errors import UserError
from ..utils.images import image_size, read_image, unreadable_reason
from ..utils.inputs import VideoInput


@dataclass(frozen=True)
class Limits:
    """How large uploads may be.

    Args:
        megabytes: Of a file.
        megapixels: Of an image, and of a frame.
        frames: Of a video; later ones are left out.

    Raises:
        UserError: If one is below 1.
    """

    megabytes: int = 20
    megapixels: int = 25
    frames: int = 300

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise UserError(f'--max-{name} must be 1 or more, got {value}')


def read_upload(path: Path, limits: Limits) -> np.ndarray:
    """Read an image, (H, W, 3) uint8 BGR.

    Raises:
        UserError: If it is too large, or no image; the message is for a visitor.
    """
    _check_file(path, limits)
    size = image_size(path)
    # Without a header nobody knows how much memory it takes.
    if size is None:
        raise UserError(f'This image cannot be read: {unreadable_reason(path)}.')
    _check_pixels(size, limits)
    try:
        return read_image(path)
    except UserError as error:
        raise UserError(f'This image cannot be read: {error}.') from error


def open_video(path: Path, limits: Limits) -> VideoInput:
    """Open a video, of which ``limits.frames`` frames are given.

    Raises:
        UserError: If it is too large, or no video.
    """
    _check_file(path, limits)
    capture = cv2.VideoCapture(str(path))
    sides = [
        int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
    ]
    capture.release()
    if min(sides) < 1:
        raise UserError(
            'This video cannot be read: it is no video, or its format is not supported.'
        )
    _check_pixels((sides[0], sides[1]), limits)
    return VideoInput(str(path), limits.frames)


def _check_file(path: Path, limits: Limits) -> None:
    size = path.stat().st_size / 1e6
    if size > limits.megabytes:
        raise UserError(
            f'This file has {size:.1f} MB, and {limits.megabytes} are allowed '
            '(mmanchor web --max-megabytes sets how many).'
        )


def _check_pixels(size: tuple[int, int], limits: Limits) -> None:
    height, width = size
    if height * width > limits.megapixels * 1_000_000:
        raise UserError(
            f'This image has {width} x {height} pixels, and {limits.megapixels} million are '
            'allowed (mmanchor web --max-megapixels sets how many).'
        )
