"""Image files of any size, read a band of rows at a time."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ...utils.errors import UserError, in_one_line
from ...utils.images import read_image

# Tags of TIFF that place an image on the earth.
GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
_SLIDES = ('.svs', '.ndpi', '.scn', '.mrxs', '.vms', '.vmu', '.bif', '.svslide')
_RASTERS = ('.jp2', '.vrt', '.img', '.ecw', '.asc', '.nc', '.dem')
# Rows that are decoded at a time where a file does not say.
_ROWS = 256
# First row, row after the last, first column, column after the last.
Box = tuple[int, int, int, int]


class Reader:
    """An image file as rows of (H, W, 3) uint8, BGR.

    Attributes:
        size: (H, W).
        faults: Parts of the image that could not be read, and why; they are black.
        geo_tags: Tags for :mod:`tifffile` that keep the georeference.
    """

    def __init__(self, path: Path, size: tuple[int, int], block: int = _ROWS) -> None:
        self.path, self.size = path, size
        self.faults: dict[Box, str] = {}
        self.geo_tags: list[tuple[Any, ...]] = []
        self._block = max(1, min(block, size[0]))
        self._held: tuple[int, np.ndarray] | None = None

    def rows(self, first: int, last: int) -> np.ndarray:
        """Rows ``first`` to ``last - 1``, (last - first, W, 3) uint8, BGR."""
        parts = []
        while first < last:
            start = first // self._block * self._block
            if self._held is None or self._held[0] != start:
                end = min(start + self._block, self.size[0])
                self._held = None  # its memory is free for the next one
                self._held = start, _as_bgr(self._decode(start, end), self.path)
            end = min(last, start + self._block)
            parts.append(self._held[1][first - start : end - start])
            first = end
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _decode(self, first: int, last: int) -> np.ndarray:
        """Rows as they are stored, RGB: (rows, W) or (rows, W, channels)."""
        raise NotImplementedError

    def place(self, path: Path) -> None:
        """Write the georeference into a TIFF file, where tags do not carry it."""


class ArrayReader(Reader):
    """An image that is in memory, (H, W, 3) uint8, BGR."""

    def __init__(self, image: np.ndarray, path: Path | str = 'array') -> None:
        super().__init__(Path(path), image.shape[:2])
        self._image = image

    def rows(self, first: int, last: int) -> np.ndarray:
        """As :meth:`Reader.rows`."""
        return self._image[first:last]


class TiffReader(Reader):
    """The first image of a TIFF or BigTIFF, tile by tile."""

    def __init__(self, path: Path) -> None:
        tifffile = need('tifffile', path)
        self._file = tifffile.TiffFile(path)
        self._page = page = self._file.pages[0]
        if page.planarconfig == 2 and page.samplesperpixel > 1:
            raise UserError(f'{path} stores its channels apart; save it with PLANARCONFIG=CONTIG')
        if page.photometric not in (1, 2, 6):
            kind = getattr(page.photometric, 'name', page.photometric)
            raise UserError(f'{path} must be gray or RGB, got the photometric {kind}')
        if page.imagedepth > 1:
            raise UserError(f'{path} must be an image, got a volume of {page.imagedepth} layers')
        if not all((page.imagelength, page.imagewidth, *page.chunks)):
            raise UserError(f'{path} must have pixels and tiles, got a size of 0')
        super().__init__(path, (page.imagelength, page.imagewidth), page.chunks[0])
        self._map = page.asarray(out='memmap') if page.is_memmappable else None
        if self._map is not None:
            self._block = min(_ROWS, self.size[0])
        for code in GEO_TAGS:
            if tag := page.tags.get(code):
                self.geo_tags.append((code, tag.dtype, tag.count, tag.value, True))

    def _decode(self, first: int, last: int) -> np.ndarray:
        if self._map is not None:
            return self._map[first:last]
        page = self._page
        shape = (last - first, self.size[1], page.samplesperpixel)
        out = np.zeros(shape, page.dtype)
        high, wide = page.chunks[:2]
        across = -(-self.size[1] // wide)
        for column in range(across):
            index = first // high * across + column
            left, right = column * wide, min((column + 1) * wide, self.size[1])
            try:
                tile = self._tile(index)
            # Whatever a decoder says of a torn file.
            except Exception as error:
                name = f'row {first // high}, column {column}' if across > 1 else f'{index}'
                self.faults[first, last, left, right] = f'{name}: {in_one_line(error)}'
                continue
            if tile is not None:
                tile = tile[: last - first, : right - left]
                out[: len(tile), left : left + tile.shape[1]] = tile
        return out

    def _tile(self, index: int) -> np.ndarray | None:
        """(rows, columns, channels); ``None`` is one that is left out as empty."""
        page = self._page
        start, count = page.dataoffsets[index], page.databytecounts[index]
        if count == 0:
            return None
        handle = self._file.filehandle
        handle.seek(start)
        data = handle.read(count)
        if len(data) < count:
            raise ValueError(f'the file ends within it, {count - len(data)} bytes too early')
        return page.decode(data, index, jpegtables=page.jpegtables)[0][0]


class RasterReader(Reader):
    """Any raster that GDAL reads, by rasterio."""

    def __init__(self, path: Path) -> None:
        rasterio = need('rasterio', path)
        self._file = rasterio.open(path)
        self._window = rasterio.windows.Window
        super().__init__(path, (self._file.height, self._file.width))

    def _decode(self, first: int, last: int) -> np.ndarray:
        window = self._window(0, first, self.size[1], last - first)
        try:
            return self._file.read(window=window).transpose(1, 2, 0)
        except OSError as error:  # rasterio's own errors are of this kind
            self.faults[first, last, 0, self.size[1]] = in_one_line(error)
            shape = (last - first, self.size[1], self._file.count)
            return np.zeros(shape, self._file.dtypes[0])

    def place(self, path: Path) -> None:
        """Write coordinate system and transform."""
        import rasterio

        if self._file.crs is not None:
            with rasterio.open(path, 'r+') as file:
                file.crs, file.transform = self._file.crs, self._file.transform


class SlideReader(Reader):
    """Level 0 of a slide that OpenSlide reads."""

    def __init__(self, path: Path) -> None:
        openslide = need('openslide', path)
        try:
            self._file = openslide.OpenSlide(path)
        except openslide.OpenSlideError as error:
            raise UserError(f'OpenSlide cannot read {path}: {error}') from error
        super().__init__(path, self._file.dimensions[::-1])

    def _decode(self, first: int, last: int) -> np.ndarray:
        try:
            region = self._file.read_region((0, first), 0, (self.size[1], last - first))
        except Exception as error:  # one that it has met, it repeats ever after
            self.faults[first, last, 0, self.size[1]] = in_one_line(error)
            return np.zeros((last - first, self.size[1], 3), np.uint8)
        return np.asarray(region)[..., :3]


def need(name: str, path: Path) -> Any:
    """A package of the extra ``large``.

    Raises:
        UserError: If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(
            f"{path} needs the package {name} ({error}): run pip install 'mmanchor[large]'"
        ) from error


def open_reader(path: Path) -> Reader:
    """Open an image file for reading by rows.

    Args:
        path: TIFF, BigTIFF or GeoTIFF (tifffile); rasters of GDAL (rasterio);
            slides (OpenSlide); everything else is read at once by OpenCV.

    Returns:
        Its reader.

    Raises:
        UserError: If it cannot be read, or a library is missing.
    """
    suffix = path.suffix.lower()
    kinds: list[tuple[tuple[str, ...], Callable[[Path], Reader]]] = [
        (('.tif', '.tiff', '.btf', '.tf8'), TiffReader),
        (_RASTERS, RasterReader),
        (_SLIDES, SlideReader),
    ]
    if not path.is_file():
        raise UserError(f'there is no image {str(path)!r}')
    for suffixes, kind in kinds:
        if suffix in suffixes:
            try:
                return kind(path)
            except UserError:
                raise
            # Whatever three libraries say of a torn file.
            except Exception as error:
                raise UserError(f'{path} cannot be read: {in_one_line(error)}') from error
    try:
        return ArrayReader(read_image(path), path)
    except UserError as error:
        raise UserError(f'{path} cannot be read: {error}') from error


def _as_bgr(rows: np.ndarray, path: Path) -> np.ndarray:
    """Stored rows as (rows, W, 3) uint8, BGR, as OpenCV would read them."""
    if rows.ndim == 2:
        rows = rows[..., None]
    if rows.shape[2] not in (1, 2, 3, 4):
        raise UserError(
            f'{path} has {rows.shape[2]} channels; the model takes red, green and blue (and drops '
            'a fourth channel)'
        )
    if rows.dtype == np.uint16:
        rows = (rows >> 8).astype(np.uint8)  # as OpenCV reads them
    elif rows.dtype == bool:
        rows = rows.astype(np.uint8) * 255
    elif rows.dtype != np.uint8:
        raise UserError(f'{path} has values of {rows.dtype}; save it with 8 or 16 bits')
    if rows.shape[2] < 3:
        return np.repeat(rows[..., :1], 3, axis=2)
    return np.ascontiguousarray(rows[..., 2::-1])
