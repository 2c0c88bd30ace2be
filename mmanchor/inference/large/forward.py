"""A segmentor in bands of rows: the labels of its plain forward, in little memory.

The trunk goes through all tokens, layer by layer, and holds them and their
weights for the anchors. Neck, head, resizing and the choice of the class then
run from top to bottom in bands of rows (:mod:`.row_maps`).
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ...models.layers.banded_forward import embed, layout_of, run_layer, split_rows
from ...models.layers.token_layout import TokenLayout
from .networks import logits_map
from .ranks import Ranks
from .row_maps import Resized
from .token_maps import TokenMaps

# Numbers of resized logits at a time: they should stay in the caches of a CPU.
_LOGITS_AT_ONCE = 1 << 21
CHUNK_TOKENS = 2048

Strips = Callable[[int, int], Tensor]


def trunk_steps(
    backbone: Any,
    size: tuple[int, int],
    strips: Strips,
    maps: TokenMaps,
    chunk_tokens: int = CHUNK_TOKENS,
    ranks: Ranks | None = None,
) -> Iterator[None]:
    """Run the trunk and keep its outputs.

    Args:
        backbone: An AnchorFormer in evaluation mode.
        size: (H, W) of the image in pixels.
        strips: ``strips(first, last)`` gives rows of pixels as the trunk takes
            them, (1, 3, last - first, W).
        maps: Takes the outputs.
        chunk_tokens: Most tokens of a band, but at least one row.
        ranks: The processes that share the image, each of which runs some rows.

    Yields:
        :func:`trunk_work` times, unless it goes on where a killed run ended.
    """
    ranks = ranks or Ranks()
    layout = layout_of(backbone, size)
    bands = ranks.share(split_rows(layout.hw_shape, chunk_tokens))
    start, end = bands[0][0], bands[-1][1]
    layer, x = maps.resume(start, end)
    with torch.no_grad():
        if x is None and layer == 0:
            patch, height = backbone.patch_size, size[0]
            pixels = (strips(first * patch, min(last * patch, height)) for first, last in bands)
            x = embed(backbone, pixels, layout, bands)
        own = TokenLayout((end - start, layout.hw_shape[1]), layout.num_extra)
        own_bands = [(first - start, last - start) for first, last in bands]
        for index in range(layer, len(backbone.layers)):
            yield from run_layer(backbone, index, x, own, own_bands, ranks.add_up)
            maps.save(index, x, start)


def trunk_work(
    backbone: Any,
    size: tuple[int, int],
    chunk_tokens: int,
    ranks: Ranks | None = None,
    done: int = 0,
) -> int:
    """Steps of :func:`trunk_steps` after ``done`` layers."""
    bands = split_rows(layout_of(backbone, size).hw_shape, chunk_tokens)
    return 2 * len((ranks or Ranks()).share(bands)) * (len(backbone.layers) - done)


class LabelRows:
    """The classes of all pixels, from top to bottom.

    Args:
        model: A segmentor that :func:`.networks.objection` has none against.
        maps: The outputs of its trunk.
        size: (H, W) of the image in pixels.

    Attributes:
        bands: First row and the row after the last of what one should ask for
            at a time.
    """

    def __init__(self, model: Any, maps: TokenMaps, size: tuple[int, int]) -> None:
        self.head, self.size = model.decode_head, size
        with torch.no_grad():
            logits, band = logits_map(model, maps.maps())
        self._resized = Resized(logits, size, align_corners=model.align_corners)
        step = max(1, band * size[0] // logits.size[0])
        self.bands = [(row, min(row + step, size[0])) for row in range(0, size[0], step)]

    @torch.no_grad()
    def logits(self, first: int, last: int) -> Iterator[Tensor]:
        """Logits of rows, in pieces (1, classes, some rows, W)."""
        above, below = self._resized.needs(first, last)
        x = self._resized.source(above, below)
        step = max(1, _LOGITS_AT_ONCE // (x.shape[1] * self.size[1]))
        for row in range(first, last, step):
            yield self._resized.between(x, above, row, min(row + step, last))

    def __call__(self, first: int, last: int) -> Tensor:
        """Labels of rows, (last - first, W), int64, on the CPU."""
        return torch.cat([self._choose(x)[0].cpu() for x in self.logits(first, last)])

    def _choose(self, logits: Tensor) -> Tensor:
        if logits.shape[1] > 1:
            return logits.argmax(dim=1)
        return (logits.sigmoid() > self.head.threshold)[:, 0].long()
