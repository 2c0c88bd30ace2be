"""Images of any origin as OpenMMLab's models take them: uint8, BGR."""

import os
import re
import threading
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from PIL import Image, ImageOps

from .errors import UserError

_CV2_LIMIT = 1 << 30
# A full-range image of 16 bits has some pixel beyond a sixteenth of the range.
_TWELVE_BITS = 4095
_LIMIT_LOCK = threading.Lock()


class UnreadableImageError(UserError):
    """An image or a mask is missing, broken or truncated.

    Args:
        message: Why. A message from a worker of a dataloader begins with
            torch's copy of the traceback, which is removed.
    """

    def __init__(self, message: str) -> None:
        _, _, message = message.rpartition(f'{type(self).__name__}: ')
        super().__init__(message.strip())


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image file as the test pipelines do.

    Args:
        path: The file. Its EXIF orientation is applied; an alpha channel is
            dropped; 16-bit values are divided by 256.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        UnreadableImageError: With the reason.
    """
    try:
        image = mmcv.imread(str(path))
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error
    except cv2.error as error:
        raise UnreadableImageError(unreadable_reason(path, error)) from error
    if image is None:
        raise UnreadableImageError(unreadable_reason(path))
    return image


def image_size(path: str | os.PathLike) -> tuple[int, int] | None:
    """(height, width) by the header of a file; ``None`` if Pillow cannot read it."""
    try:
        with _open(path) as image:
            return image.size[::-1]
    except (OSError, SyntaxError, ValueError):
        return None


def dark_fault(path: str | os.PathLike) -> str | None:
    """Say why an image of 16 bits would be read nearly black.

    All loaders keep the upper 8 of 16 bits. Cameras that deliver 10 or 12 bits
    leave these empty.

    Args:
        path: A local file that can be decoded.

    Returns:
        The reason and the cure; ``None`` for images of 8 bits or of the full
        range.
    """
    try:
        if stored_bits(path) <= 8:
            return None
    except (OSError, SyntaxError, ValueError):
        return None
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != 'uint16' or not 0 < pixels.max() <= _TWELVE_BITS:
        return None
    largest = int(pixels.max())
    bits = max(largest.bit_length(), 9)
    return (
        f'has values up to {largest} in 16 bits and is read nearly black, as '
        f'only the upper 8 bits are kept; multiply it by {2 ** (16 - bits)}, or save it with 8 bits'
    )


def stored_bits(path: str | os.PathLike) -> int:
    """Bits of a channel in an image file, by its header.

    Args:
        path: A local file that Pillow can open.
    """
    with _open(path) as image:
        # Pillow's modes do not say it of colors.
        stored = getattr(image, 'tag_v2', {}).get(258, ())  # BitsPerSample of a TIFF
        if stored:
            return max(stored)
        # Of a PNG the raw mode, such as 'RGB;16B'.
        return 16 if any(';16' in str(tile[3]) for tile in getattr(image, 'tile', ())) else 8


def as_bgr(image: Any, rgb: bool = False) -> np.ndarray:
    """An array or a Pillow image as (H, W, 3) uint8, BGR.

    Args:
        image: A Pillow image, whose EXIF orientation is applied; or an array of
            (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) uint8, whose fourth channel
            is dropped.
        rgb: Channels of an array are RGB, not OpenCV's and OpenMMLab's BGR.

    Raises:
        UserError: If it is something else.

    Example:
        >>> as_bgr(np.zeros((4, 6), np.uint8)).shape
        (4, 6, 3)
    """
    if isinstance(image, Image.Image):
        image, rgb = np.asarray(ImageOps.exif_transpose(image).convert('RGB')), True
    if not isinstance(image, np.ndarray):
        raise UserError(
            'an image must be a path, a numpy array or a Pillow image, '
            f'got {type(image).__module__}.{type(image).__qualname__}'
        )
    is_image = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))
    if image.dtype != np.uint8 or not is_image or not image.size:
        raise UserError(
            'an image must be an array of (H, W, 3) or (H, W) uint8, values 0 to 255, '
            f'got {image.shape} {image.dtype}'
        )
    if image.ndim == 2 or image.shape[2] == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    image = image[..., :3]
    return np.ascontiguousarray(image[..., ::-1] if rgb else image)


def unreadable_reason(path: str | os.PathLike, error: Exception | None = None) -> str:
    """Why a decoder read nothing, and the cure where there is one.

    Args:
        path: A local file.
        error: What the decoder raised, if anything.
    """
    if not Path(path).stat().st_size:
        return 'the file is empty'
    try:
        with _open(path) as opened:
            return _fault(opened) or f'OpenCV cannot read it ({_one_line(error)})'
    except (OSError, SyntaxError, ValueError):
        return 'it is not an image, or its format is not supported'


def opencv_limit() -> int:
    """The most pixels that OpenCV reads, as its environment variable sets it."""
    value = os.environ.get('OPENCV_IO_MAX_IMAGE_PIXELS', '')
    return int(value) if value.isdigit() else _CV2_LIMIT


def _fault(opened: Image.Image) -> str | None:
    """What is wrong with an image that Pillow knows the format of."""
    width, height = opened.size
    limit = opencv_limit()
    if width * height > limit:
        return (
            f'{width} x {height} pixels are more than OpenCV reads; the environment variable '
            f'OPENCV_IO_MAX_IMAGE_PIXELS, now {limit}, sets the limit'
        )
    if opened.mode in ('F', 'I'):
        values = 'float' if opened.mode == 'F' else 'integers'
        return f'its values are 32-bit {values}; save it with 8 bits'
    try:
        opened.load()
    except (OSError, SyntaxError, ValueError) as fault:
        return f'the file is damaged or cut short ({_one_line(fault)})'
    return None


def _open(path: str | os.PathLike) -> Image.Image:
    """A Pillow image, header read only, without Pillow's own limit."""
    # The limit is Pillow's for the whole process, and files are checked by threads.
    with _LIMIT_LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _one_line(error: Exception | None) -> str:
    return re.sub(r'\s+', ' ', str(error or 'no reason given')).strip()[:120]
