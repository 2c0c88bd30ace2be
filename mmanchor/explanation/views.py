"""An image as the network gets it, and the way back to the image's own pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.registry import DefaultScope

from ..inference.model import Model
from ..utils.config import toolbox
from ..utils.errors import UserError
from ..utils.inputs import Frame
from .token_maps import TokenMap

# Below this, a pixel of the input comes from padding.
_INSIDE = 250


@dataclass(frozen=True)
class Axis:
    """Input coordinate = scale * image coordinate + offset, in pixel centers."""

    scale: float
    offset: float

    def forward(self, value: Any) -> Any:
        """From the image to the network's input."""
        return self.scale * value + self.offset

    def backward(self, value: Any) -> Any:
        """From the network's input to the image."""
        return (value - self.offset) / self.scale


@dataclass(frozen=True)
class View:
    """An image and what the network gets of it.

    Args:
        image: The image, (H, W, 3) uint8, RGB.
        inputs: The network's input, (1, 3, H', W').
        samples: The toolbox's data samples, one.
        x: From columns of the image to columns of the input.
        y: From rows of the image to rows of the input.
        part: Left, top, right, bottom of the part of the image that the network
            sees, in pixels: a classifier's pipeline crops.
    """

    image: np.ndarray
    inputs: torch.Tensor
    samples: list
    x: Axis
    y: Axis
    part: tuple[float, float, float, float]

    @property
    def input_size(self) -> tuple[int, int]:
        """(H', W') of the network's input, padding included."""
        return (self.inputs.shape[2], self.inputs.shape[3])

    def seen(self) -> np.ndarray:
        """(H, W) bool: the pixels of the image that the network sees."""
        height, width = self.image.shape[:2]
        left, top, right, bottom = self.part
        columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
        inside_x = (columns > left) & (columns < right)
        inside_y = (rows > top) & (rows < bottom)
        return inside_y[:, None] & inside_x

    def crop(self, image: np.ndarray) -> np.ndarray:
        """The part of the image, or of anything of its size, that the network sees."""
        rows, columns = self._crop()
        return image[rows, columns]

    def in_crop(self, x: float, y: float) -> tuple[float, float]:
        """A point of the image as a point of :meth:`crop`."""
        rows, columns = self._crop()
        return x - columns.start, y - rows.start

    def box_in_crop(self, box: Sequence[float]) -> tuple[float, float, float, float]:
        """A box (left, top, right, bottom) of the image as one of :meth:`crop`."""
        return (*self.in_crop(box[0], box[1]), *self.in_crop(box[2], box[3]))

    def _crop(self) -> tuple[slice, slice]:
        seen = self.seen()
        rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)

    def to_image(
        self, tokens: np.ndarray, tokens_map: TokenMap, mode: int = cv2.INTER_LINEAR
    ) -> np.ndarray:
        """Resample a map of tokens to the pixels of the image.

        Args:
            tokens: (h, w) or (h, w, K) float, on ``tokens_map``.
            tokens_map: Where the tokens are.
            mode: OpenCV's interpolation; ``INTER_NEAREST`` gives a pixel the
                value of its token.

        Returns:
            (H, W) or (H, W, K) float32; NaN where the network sees nothing.
        """
        height, width = self.image.shape[:2]
        rows = (self.y.forward(np.arange(height)) + 0.5) / tokens_map.stride[0] - 0.5
        columns = (self.x.forward(np.arange(width)) + 0.5) / tokens_map.stride[1] - 0.5
        grid_x, grid_y = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
        layers = np.atleast_3d(np.asarray(tokens, np.float32))
        # One by one: OpenCV takes few channels at once.
        out = np.stack(
            [
                cv2.remap(layers[..., k], grid_x, grid_y, mode, borderMode=cv2.BORDER_REPLICATE)
                for k in range(layers.shape[2])
            ],
            axis=-1,
        )
        out[~self.seen()] = np.nan
        return out if np.ndim(tokens) == 3 else out[..., 0]

    def token_at(self, x: float, y: float, tokens_map: TokenMap) -> int:
        """The token that covers a pixel of the image, as an index into all tokens.

        Args:
            x: Column, from 0.
            y: Row, from 0.
            tokens_map: Where the tokens are.

        Raises:
            UserError: If the network does not see the pixel.
        """
        left, top, right, bottom = self.part
        if not (left <= x + 0.5 <= right and top <= y + 0.5 <= bottom):
            raise UserError(
                f'--at {x:g} {y:g} is outside of what the network sees: x from {left:.0f} to '
                f'{right - 1:.0f}, y from {top:.0f} to {bottom - 1:.0f}'
            )
        row = int((self.y.forward(y) + 0.5) / tokens_map.stride[0])
        column = int((self.x.forward(x) + 0.5) / tokens_map.stride[1])
        row = min(max(row, 0), tokens_map.height - 1)
        column = min(max(column, 0), tokens_map.width - 1)
        return tokens_map.num_extra + row * tokens_map.width + column

    def input_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (n, 4) of the image, in pixels of the network's input."""
        boxes = np.asarray(boxes, float).reshape(-1, 4)
        out = np.empty_like(boxes)
        # Edges of boxes are half a pixel beside the centers.
        out[:, 0::2] = self.x.forward(boxes[:, 0::2] - 0.5) + 0.5
        out[:, 1::2] = self.y.forward(boxes[:, 1::2] - 0.5) + 0.5
        return out


def view_of(model: Model, frame: Frame) -> View:
    """Take an image through the pipeline and the data preprocessor of a model.

    Args:
        model: As ``mmanchor.load`` gives it, without ``tta``.
        frame: The image.

    Raises:
        UserError: If the pipeline makes several views, or more of an image
            than scaling, cropping and padding.
    """
    assert frame.image is not None
    with DefaultScope.overwrite_default_scope(toolbox(model.config)):
        data = model.prepare([frame])
        if isinstance(data['inputs'][0], (list, tuple)):
            raise UserError('explain needs a model that was loaded without tta')
        data = model.module.data_preprocessor(data, False)
    x, y, part = _placement(model, frame)
    image = np.ascontiguousarray(frame.image[..., ::-1])
    return View(image, data['inputs'], data['data_samples'], x, y, part)


def _placement(model: Model, frame: Frame) -> tuple[Axis, Axis, tuple[float, float, float, float]]:
    """Where the pipeline puts an image, found by an image of coordinates.

    It works for every pipeline, whatever its transforms are called.
    """
    assert frame.image is not None
    height, width = frame.image.shape[:2]
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0] = np.rint(np.linspace(0, 255, width))
    ramp[..., 1] = np.rint(np.linspace(0, 255, height))[:, None]
    ramp[..., 2] = 255
    placed = model.prepare([replace(frame, image=ramp)])['inputs'][0].float().cpu().numpy()
    columns = np.flatnonzero((placed[2] > _INSIDE).any(axis=0))
    rows = np.flatnonzero((placed[2] > _INSIDE).any(axis=1))
    if not len(columns) or not len(rows):
        raise UserError('the test pipeline changes colors, so that the image cannot be followed')
    x = _fit(placed[0][rows[len(rows) // 2]], columns, width)
    y = _fit(placed[1][:, columns[len(columns) // 2]], rows, height)
    # Edges lie half a pixel beyond the centers of the first and the last pixel.
    left, right = (x.backward(columns[i] + d) + 0.5 for i, d in ((0, -0.5), (-1, 0.5)))
    top, bottom = (y.backward(rows[i] + d) + 0.5 for i, d in ((0, -0.5), (-1, 0.5)))
    part = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    return x, y, part


def _fit(values: np.ndarray, where: np.ndarray, size: int) -> Axis:
    """The line through coordinates (0 to 255 for 0 to ``size - 1``) along an axis."""
    found = values[where] / 255 * max(size - 1, 1)
    # Rounded values at the ends are cut off.
    inner = slice(len(where) // 8, len(where) - len(where) // 8)
    if len(where) < 2 or np.ptp(found[inner]) == 0:
        return Axis(len(where) / size, float(where[0]) + (len(where) / size - 1) / 2)
    slope, start = np.polyfit(found[inner], where[inner], 1)
    error = np.abs(slope * found[inner] + start - where[inner]).max()
    if error > 2 + 2 * abs(slope) * size / 255:
        raise UserError('the test pipeline does more than scale, crop and pad the image')
    return Axis(float(slope), float(start))
