"""Picture files that cannot be read, or only in part."""

import os

from ..utils.errors import UserError

_JPEG_START = b'\xff\xd8'
_JPEG_END = b'\xff\xd9'
_JPEG_SCAN = 0xDA


class UnreadablePictureError(UserError):
    """A picture is missing, broken or cut off.

    Args:
        message: Names the file. From a worker of a dataloader torch hands on
            the traceback in front of it, which is taken off.
    """

    def __init__(self, message: str) -> None:
        _, _, message = message.rpartition(f'{type(self).__name__}: ')
        super().__init__(message.strip())


def picture_fault(path: str) -> str | None:
    """Say why a file is no whole picture, without decoding it.

    Decoders may fill the missing part of a JPEG that was cut off with grey
    and say nothing, so its end marker is looked for. Of other formats only
    the presence is checked: their decoders do notice.

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
    # Something may follow the picture, and an embedded one may precede it.
    whole = content.rfind(_JPEG_END, _first_scan(content)) >= 0
    return None if whole else 'is a JPEG that ends too early'


def _first_scan(content: bytes) -> int:
    """Where the pixels of a JPEG begin; its length if nowhere."""
    place = len(_JPEG_START)
    while place + 4 <= len(content) and content[place] == 0xFF:
        if content[place + 1] == _JPEG_SCAN:
            return place
        place += 2 + int.from_bytes(content[place + 2 : place + 4], 'big')
    return len(content)
