"""Image files that cannot be read, or only in part, and why."""

import os

import cv2
import mmcv
from mmengine.fileio import get

from ..utils.errors import UserError
from ..utils.images import stored_bits, unreadable_reason

_JPEG_START = b'\xff\xd8'
_JPEG_END = b'\xff\xd9'
_JPEG_SCAN = 0xDA
# A full-range image has some pixel beyond a sixteenth of the range.
_TWELVE_BITS = 4095


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
    fault = None
    try:
        if mmcv.imfrombytes(content, **decoding) is not None:
            return None
    # So do decoders.
    except Exception as error:
        fault = error
    if not os.path.isfile(path):
        return f'cannot be decoded: {fault or "it is damaged or not an image"}'
    return f'cannot be decoded: {unreadable_reason(path, fault)}'


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
    if stored_bits(path) <= 8:
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


def _first_scan(content: bytes) -> int:
    """Where the pixels of a JPEG begin; its length if nowhere."""
    place = len(_JPEG_START)
    while place + 4 <= len(content) and content[place] == 0xFF:
        if content[place + 1] == _JPEG_SCAN:
            return place
        place += 2 + int.from_bytes(content[place + 2 : place + 4], 'big')
    return len(content)
