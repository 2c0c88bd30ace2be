"""Where the outputs of the trunk are kept while the head reads them."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...models.layers.token_layout import TokenLayout
from ...utils.files import replacing
from .ranks import Ranks
from .row_maps import Stored

# A killed run repeats at most the layers of so many seconds, and one more.
_SAVE_SECONDS = 60.0


class TokenMaps:
    """Outputs of the trunk in memory.

    Args:
        layout: Layout of the tokens of the whole image.
        out_indices: The layers whose outputs the neck takes.
        device: Where the network runs.
    """

    def __init__(self, layout: TokenLayout, out_indices: tuple[int, ...], device: str) -> None:
        self.layout, self.out_indices, self.device = layout, out_indices, device
        self._maps: dict[int, Tensor] = {}

    def resume(self, first: int, last: int) -> tuple[int, Tensor | None]:
        """The next layer to run, and the tokens of these rows before it."""
        return 0, None

    def save(self, layer: int, x: Tensor, first: int) -> None:
        """Keep the tokens after a layer if the neck takes them.

        Args:
            layer: The layer.
            x: Tokens (1, N, C), extra ones first; changed in place by the next layer.
            first: The row of the map that they begin with.
        """
        if layer in self.out_indices:
            self._maps[layer] = x if layer == self.out_indices[-1] else x.clone()

    def maps(self) -> list[Stored]:
        """One map (1, C, H, W) for each of ``out_indices``."""
        return [self._map(layer) for layer in self.out_indices]

    def _map(self, layer: int) -> Stored:
        grid = self._maps[layer][:, self.layout.num_extra :].unflatten(1, self.layout.hw_shape)
        return Stored.of(grid.permute(0, 3, 1, 2))


class TokenFiles(TokenMaps):
    """Outputs of the trunk in files, from which a killed run goes on.

    A file is whole once ``state.json`` names it.

    Args:
        folder: Where the files are.
        layout, out_indices, device: As :class:`TokenMaps` has them.
        width: C, channels of a token.
        about: What the tokens depend on; files of anything else are not taken.
        ranks: The processes that share the folder.
    """

    def __init__(
        self,
        folder: Path,
        layout: TokenLayout,
        out_indices: tuple[int, ...],
        device: str,
        width: int,
        about: dict[str, Any],
        ranks: Ranks,
    ) -> None:
        super().__init__(layout, out_indices, device)
        self.folder, self.width, self.ranks = folder, width, ranks
        self._saved = time.monotonic()
        self.about = json.loads(json.dumps(about))
        self.state: dict[str, Any] = dict(about=self.about, layer=-1)
        path = folder / 'state.json'
        if path.is_file():
            state = json.loads(path.read_text(encoding='utf-8'))
            if state['about'] == self.about:
                self.state = state
        ranks.wait()
        if self.state['layer'] < 0 and ranks.is_first:
            for old in folder.glob('*.bin'):
                old.unlink()
        ranks.wait()

    def resume(self, first: int, last: int) -> tuple[int, Tensor | None]:
        """As :meth:`TokenMaps.resume`."""
        layer = self.state['layer']
        if layer < 0:
            return 0, None
        if layer == self.out_indices[-1]:
            return layer + 1, None
        return layer + 1, self._read(layer, *self._span(first, last)).to(self.device)

    def save(self, layer: int, x: Tensor, first: int) -> None:
        """Write the tokens after a layer, and forget those before it."""
        late = time.monotonic() - self._saved > _SAVE_SECONDS
        if layer not in self.out_indices and not self.ranks.gather(late)[0]:
            return
        start = self._span(first, first)[0]
        data = x[0].cpu().numpy()
        number = os.open(self._path(layer), os.O_RDWR | os.O_CREAT, 0o644)
        with open(number, 'r+b') as file:
            file.seek(start * self.width * data.itemsize)
            data.tofile(file)
            file.flush()
            os.fsync(file.fileno())
        faults = self.ranks.gather(self.state.get('faults', {}))
        if self.ranks.is_first:
            merged = {key: value for each in faults for key, value in each.items()}
            before = self.state['layer']
            self.state.update(layer=layer, faults=merged)
            with replacing(self.folder / 'state.json') as part:
                part.write_text(json.dumps(self.state), encoding='utf-8')
            if before not in self.out_indices:
                self._path(before).unlink(missing_ok=True)
        self.state['layer'] = layer
        self._saved = time.monotonic()
        self.ranks.wait()

    def _span(self, first: int, last: int) -> tuple[int, int]:
        """The tokens of rows; extra tokens belong to the first row."""
        width, extra = self.layout.hw_shape[1], self.layout.num_extra
        return extra + first * width if first else 0, extra + last * width

    def _map(self, layer: int) -> Stored:
        width, extra = self.layout.hw_shape[1], self.layout.num_extra

        def read(first: int, last: int) -> Tensor:
            rows = self._read(layer, extra + first * width, extra + last * width)
            rows = rows.unflatten(1, (last - first, width)).permute(0, 3, 1, 2)
            return rows.to(self.device)

        return Stored(self.layout.hw_shape, read)

    def _read(self, layer: int, first: int, last: int) -> Tensor:
        count = (last - first) * self.width
        dtype = np.dtype(np.float32)
        data = np.fromfile(
            self._path(layer), dtype, count, offset=first * self.width * dtype.itemsize
        )
        return torch.from_numpy(data).view(1, last - first, self.width)

    def _path(self, layer: int) -> Path:
        return self.folder / f'tokens_{layer:02}.bin'
