"""Bring an image to the size of a network, as its test pipeline does."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..utils.errors import UserError

# By backend. Pillow's are looked up when one is needed.
INTERPOLATIONS: dict[str, Any] = {
    'cv2': {
        'nearest': cv2.INTER_NEAREST,
        'bilinear': cv2.INTER_LINEAR,
        'bicubic': cv2.INTER_CUBIC,
        'area': cv2.INTER_AREA,
        'lanczos': cv2.INTER_LANCZOS4,
    },
    'pillow': ('nearest', 'box', 'bilinear', 'hamming', 'bicubic', 'lanczos'),
}
# Metadata asks for no more pixels on a side, and no step gives more in all.
LARGEST_SIDE = 16384
_MOST_PIXELS = LARGEST_SIDE**2


def read_image(image: str | os.PathLike | np.ndarray) -> np.ndarray:
    """An image as (H, W, 3) uint8, BGR.

    Args:
        image: A file, whose EXIF orientation is applied; or an array (H, W),
            (H, W, 3) or (H, W, 4), uint8, BGR.

    Raises:
        UserError: If it cannot be read, or is no such array.
    """
    if isinstance(image, (str, os.PathLike)):
        if not Path(image).is_file():
            raise UserError(f'there is no image {str(image)!r}')
        try:
            found = cv2.imread(str(image), cv2.IMREAD_COLOR)
        # It refuses headers of huge images.
        except cv2.error:
            found = None
        if found is None:
            raise UserError(f'OpenCV cannot read {str(image)!r} as an image')
        return found
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, 'dtype', type(image).__name__)
        raise UserError(f'an image must be a file or a uint8 array, got {kind}')
    if image.ndim == 2 and image.size:
        return np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] not in (3, 4) or 0 in image.shape:
        raise UserError(f'an image must be (H, W, 3), BGR, got the shape {image.shape}')
    return image[..., :3]


def resize(image: np.ndarray, width: int, height: int, step: dict[str, Any]) -> np.ndarray:
    """Resize by OpenCV or Pillow, whichever the model was trained with.

    Args:
        image: (H, W, 3) uint8.
        width: Of the result, in pixels.
        height: Of the result, in pixels.
        step: With ``interpolation`` and ``backend``.

    Raises:
        UserError: If the result would be huge, as that of a thin image can be.
    """
    _require_size(image, width, height)
    how = step.get('interpolation', 'bilinear')
    if step.get('backend') == 'pillow':
        from PIL import Image

        resampling = getattr(Image.Resampling, how.upper())
        return np.array(Image.fromarray(image).resize((width, height), resampling))
    return cv2.resize(image, (width, height), interpolation=INTERPOLATIONS['cv2'][how])


def _require_size(image: np.ndarray, width: int, height: int) -> None:
    if width * height > _MOST_PIXELS:
        rows, columns = image.shape[:2]
        raise UserError(
            f'the image of {rows} x {columns} pixels would become one of {height} x {width}, more '
            'than can be computed; give one that is less thin'
        )


def scaled_size(height: int, width: int, scale: Sequence[int], keep_ratio: bool) -> tuple[int, int]:
    """(height, width) after a resizing step.

    Args:
        height: Of the image.
        width: Of the image.
        scale: Two sides; with ``keep_ratio`` the longer one bounds the longer
            side of the image and the shorter one the shorter side, without it
            they are (width, height).
        keep_ratio: Whether the shape is kept.

    Example:
        >>> scaled_size(300, 400, (2048, 512), True)
        (512, 683)
    """
    if not keep_ratio:
        return int(scale[1]), int(scale[0])
    factor = min(max(scale) / max(height, width), min(scale) / min(height, width))
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def size_within(height: int, width: int, size: Sequence[int]) -> tuple[int, int]:
    """(height, width) of an image that is made as large as fits, its shape kept.

    Args:
        height: Of the image.
        width: Of the image.
        size: (height, width) that it fits into.

    Example:
        >>> size_within(300, 400, (416, 416))
        (312, 416)
    """
    factor = min(size[0] / height, size[1] / width)
    # Rounding up must not pass the border.
    rows, columns = (int(side * factor + 0.5) for side in (height, width))
    return max(1, min(rows, size[0])), max(1, min(columns, size[1]))


def prepare(
    image: np.ndarray, steps: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Go through the steps that metadata names.

    Args:
        image: (H, W, 3) uint8, BGR.
        steps: ``resize`` of the metadata.

    Returns:
        (h, w, 3) uint8, as the graph takes it; and the (height, width) of the
        image in it, which is less where it was padded at the right and bottom.
    """
    content = image.shape[:2]
    for step in steps:
        height, width = image.shape[:2]
        if step['op'] == 'resize':
            size = scaled_size(height, width, step['scale'], step['keep_ratio'])
            image = resize(image, size[1], size[0], step)
        elif step['op'] == 'resize_within':
            size = size_within(height, width, step['size'])
            image = resize(image, size[1], size[0], step)
        elif step['op'] == 'pad':
            image = _pad(image, step)
            continue
        elif step['op'] == 'pad_square':
            image = _pad(image, {**step, 'size': [max(height, width)] * 2})
            continue
        elif step['op'] == 'resize_edge':
            image = _resize_edge(image, step)
        elif step['op'] == 'center_crop':
            rows, columns = step['size']
            top = max(0, round((height - rows) / 2))
            left = max(0, round((width - columns) / 2))
            image = image[top : top + rows, left : left + columns]
        else:
            raise UserError(f'the model needs the step {step["op"]!r}, which is not known here')
        content = image.shape[:2]
    return image, content


def _pad(image: np.ndarray, step: dict[str, Any]) -> np.ndarray:
    """Pad at the right and the bottom up to a size; a larger image stays."""
    rows, columns = (
        max(0, side - now) for side, now in zip(step['size'], image.shape[:2], strict=True)
    )
    _require_size(image, image.shape[1] + columns, image.shape[0] + rows)
    return cv2.copyMakeBorder(
        image, 0, rows, 0, columns, cv2.BORDER_CONSTANT, value=tuple(step['value'])
    )


def _resize_edge(image: np.ndarray, step: dict[str, Any]) -> np.ndarray:
    """Bring one edge to a length; the other follows, rounded down."""
    height, width = image.shape[:2]
    by_width = dict(short=width < height, long=width > height, width=True, height=False)[
        step['edge']
    ]
    if by_width:
        return resize(image, step['size'], max(1, int(step['size'] * height / width)), step)
    return resize(image, max(1, int(step['size'] * width / height)), step['size'], step)
