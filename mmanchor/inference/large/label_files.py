"""Labels of a large image: rows as they come, then a tiled TIFF with overviews."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...utils.files import replacing
from .readers import need

TILE = 512
# A preview has at most so many pixels a side.
PREVIEW = 2048


class LabelFile:
    """Labels (H, W) in a file, of which any process writes its rows.

    A second file marks the bands that are done, with which a killed run goes
    on.

    Args:
        folder: Where the files are.
        size: (H, W).
        dtype: Of the labels.
        count: Number of bands.
    """

    def __init__(self, folder: Path, size: tuple[int, int], dtype: type, count: int) -> None:
        self.size, self.dtype = size, np.dtype(dtype)
        self._labels, self._done, self._count = folder / 'labels.bin', folder / 'done.bin', count

    def done(self) -> list[bool]:
        """For each band whether it is written."""
        marks = self._done.read_bytes() if self._done.is_file() else b''
        return [mark == 1 for mark in marks[: self._count].ljust(self._count, b'\0')]

    def write(self, band: int, first: int, labels: np.ndarray) -> None:
        """Write the rows of a band, of which ``first`` is the first."""
        place = first * self.size[1] * self.dtype.itemsize
        _write_at(self._labels, place, labels.astype(self.dtype).tobytes())
        _write_at(self._done, band, b'\1')

    def read(self) -> np.ndarray:
        """All labels, mapped and not read."""
        return np.memmap(self._labels, self.dtype, 'r', shape=self.size)


def _write_at(path: Path, place: int, data: bytes) -> None:
    """Write bytes into a file and wait until they are on the disk."""
    number = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with open(number, 'r+b') as file:
        file.seek(place)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_tiff(
    path: Path, labels: np.ndarray, palette: Sequence[Sequence[int]], geo_tags: Sequence[Any] = ()
) -> None:
    """Write labels as a tiled, compressed TIFF with a palette and overviews.

    Args:
        path: The file, which appears when it is whole.
        labels: (H, W) uint8, or uint16 (written without a palette).
        palette: An RGB color, 0 to 255, for each label; those without one are
            black, and 255 is white.
        geo_tags: Further tags of the first image.
    """
    tifffile = need('tifffile', path)
    kind: dict[str, Any] = dict(photometric='minisblack')
    if labels.dtype == np.uint8:
        colors = np.zeros((256, 3), np.uint16)
        colors[255] = 255
        colors[: len(palette)] = np.asarray(palette)[:256]
        kind = dict(photometric='palette', colormap=(colors * 257).T)
    with tifffile.TiffWriter(path, bigtiff=labels.nbytes > 2**31) as file:
        step = 1
        while step == 1 or max(labels.shape) > TILE * step // 2:
            view = labels[::step, ::step]
            file.write(
                _tiles(view),
                shape=view.shape,
                dtype=labels.dtype,
                tile=(TILE, TILE),
                compression='zlib',
                subfiletype=0 if step == 1 else 1,
                extratags=geo_tags if step == 1 else (),
                metadata=None,
                **kind,
            )
            step *= 2


def _tiles(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Tiles from the left to the right and down, the last ones filled up."""
    for row in range(0, labels.shape[0], TILE):
        rows = np.ascontiguousarray(labels[row : row + TILE])
        for column in range(0, labels.shape[1], TILE):
            tile = np.zeros((TILE, TILE), labels.dtype)
            part = rows[:, column : column + TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


def write_preview(path: Path, labels: np.ndarray, palette: Sequence[Sequence[int]]) -> None:
    """Write every so manieth pixel in the colors of the classes, as PNG.

    Args:
        path: The file.
        labels: (H, W).
        palette: As :func:`write_tiff` has it.
    """
    step = -(-max(labels.shape) // PREVIEW)
    small = np.asarray(labels[::step, ::step])
    unlabeled = np.iinfo(labels.dtype).max
    colors = np.zeros((unlabeled + 1, 3), np.uint8)
    colors[unlabeled] = 255
    colors[: len(palette)] = palette
    with replacing(path) as part:
        Image.fromarray(colors[small]).save(part)
