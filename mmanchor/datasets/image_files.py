"""Image files that cannot be read, or only in part, and why."""

import os

import cv2
import mmcv
from mmengine.fileio import get
from PIL import Image, UnidentifiedImageError

from ..utils.errors import UserError

_JPEG_START = b'\xff\xd8'
_JPEG_END = b'\xff\xd9'
_JPEG_SCAN = 0xDA
_PNG_START = b'\x89PNG\r\n\x1a\n'
# A full-range image has some pixel beyond a sixteenth of the range.
_TWELVE_BITS = 4095
_DAMAGED = 'cannot be decoded: it is damaged or not an image'


class UnreadableImageError(UserError):
    """An image or a mask is missing, broken or truncated.

    Args:
        message: Names the file. A message from a worker of a dataloader
            begins with torch's copy of the traceback, which is removed.
    """

    def __init__(self, message: str) -> None:
        _, _, message = message.rpartition(f'{type(self).__name__}: ')
        super().__init__(message.strip())


def image_fault(path: str) -> str | None:
    """Say why a file is not a complete image, without decoding it.

    Decoders may fill the missing part of a truncated JPEG with gray and
    report nothing, so its end marker is searched for. Of other formats only
    the presence is checked, because their decoders report truncation.

    Args:
        path: A local file.

    Returns:
        The reason; ``None`` if nothing was found.
    """
    try:
        with open(path, 'rb') as file:
            if file.read(2) != _JPEG_START:
                return None if os.fstat(file.fileno()).st_size else 'is empty'
            file.seek(-2, os.SEEK_END)
            if file.read() == _JPEG_END:
                return None
            file.seek(0)
            content = file.read()
    except OSError as error:
        return f'cannot be opened: {error.strerror}'
    # Data may follow the image, and an embedded thumbnail may precede it.
    whole = content.rfind(_JPEG_END, _first_scan(content)) >= 0
    return None if whole else 'is a JPEG that ends too early'


def decoding_fault(path: str, backend_args: dict | None = None, **decoding: str) -> str | None:
    """Say why the toolboxes cannot decode an image.

    Args:
        path: A file, or an address that ``backend_args`` reads.
        backend_args: As MMEngine's file backends have them.
        **decoding: ``flag`` and ``backend`` of ``mmcv.imread``.

    Returns:
        The reason and, where there is one, the cure; ``None`` if it can be
        decoded.
    """
    try:
        content = get(path, backend_args=backend_args)
    # Storage raises many types of errors.
    except Exception as error:
        return f'cannot be opened: {getattr(error, "strerror", None) or error}'
    if not content:
        return 'is empty'
    try:
        image = mmcv.imfrombytes(content, **decoding)
    # So do decoders.
    except Exception as error:
        return _decoder_message(path, error)
    return _not_decoded(path) if image is None else None


def dark_fault(path: str) -> str | None:
    """Say why an image of 16 bits would be read nearly black.

    The toolboxes keep the upper 8 of 16 bits. Cameras that deliver 10 or 12
    bits leave these empty.

    Args:
        path: A local file that can be decoded.

    Returns:
        The reason and the cure; ``None`` for images of 8 bits or of the full
        range.
    """
    if not _may_have_16_bits(path):
        return None
    pixels = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != 'uint16' or not 0 < pixels.max() <= _TWELVE_BITS:
        return None
    largest = int(pixels.max())
    bits = max(largest.bit_length(), 9)
    return (
        f'has values up to {largest} in 16 bits and is read nearly black, as '
        f'only the upper 8 bits are kept; multiply it by {2 ** (16 - bits)}, or save it with 8 bits'
    )


def _may_have_16_bits(path: str) -> bool:
    """Whether a header allows 16 bits a channel: PNG says so, TIFF may."""
    with open(path, 'rb') as file:
        start = file.read(26)
    if start.startswith(_PNG_START):
        return start[24:25] == b'\x10'
    return start[:2] in (b'II', b'MM')


def _decoder_message(path: str, error: Exception) -> str:
    """Why a decoder failed, in one line."""
    lines = str(error).strip().splitlines()
    if 'CV_IO_MAX_IMAGE' in str(error):
        return (
            f'has {_size(path)}, more than OpenCV decodes; make it smaller, or set the '
            'environment variable OPENCV_IO_MAX_IMAGE_PIXELS to a larger number of pixels'
        )
    if isinstance(error, UnidentifiedImageError):
        return _DAMAGED
    if isinstance(error, Image.DecompressionBombError):
        return f'has {_size(path)}, more than Pillow decodes; make it smaller'
    return f'cannot be decoded: {type(error).__name__}: {lines[0] if lines else "no message"}'


def _not_decoded(path: str) -> str:
    """Why OpenCV gave no image although it raised nothing."""
    try:
        with Image.open(path) as image:
            mode, kind = image.mode, image.format
    # Pillow raises what its many decoders raise, SyntaxError included.
    except Exception:
        return _DAMAGED
    if mode in ('F', 'I'):
        return f'is a {kind} of 32 bits a pixel, which OpenCV does not read; save it with 8 bits'
    return f'cannot be decoded: OpenCV does not read this {kind} (mode {mode})'


def _size(path: str) -> str:
    """The size of an image by its header, however large it is."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as image:
            return f'{image.width} x {image.height} pixels'
    # Pillow raises what its many decoders raise, SyntaxError included.
    except Exception:
        return 'many pixels'
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _first_scan(content: bytes) -> int:
    """Where the pixels of a JPEG begin; its length if nowhere."""
    place = len(_JPEG_START)
    while place + 4 <= len(content) and content[place] == 0xFF:
        if content[place + 1] == _JPEG_SCAN:
            return place
        place += 2 + int.from_bytes(content[place + 2 : place + 4], 'big')
    return len(content)
