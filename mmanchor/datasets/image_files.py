"""Image files that cannot be read, or only in part, and why."""

import os

import mmcv
from mmengine.fileio import get

from ..utils.images import unreadable_reason

_JPEG_START = b'\xff\xd8'
_JPEG_END = b'\xff\xd9'
_JPEG_SCAN = 0xDA


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


def _first_scan(content: bytes) -> int:
    """Where the pixels of a JPEG begin; its length if nowhere."""
    place = len(_JPEG_START)
    while place + 4 <= len(content) and content[place] == 0xFF:
        if content[place + 1] == _JPEG_SCAN:
            return place
        place += 2 + int.from_bytes(content[place + 2 : place + 4], 'big')
    return len(content)
