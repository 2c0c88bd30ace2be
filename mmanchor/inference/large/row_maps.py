"""Maps that are computed a band of rows at a time, exactly.

A :class:`RowMap` is one map of a network. Asked for some of its rows, it asks
the maps that it is made from for the rows that these need: a convolution for
its halo, an upsampling for the rows between which it interpolates. Rows are
asked for from top to bottom, and what a later band needs again is kept, so
that nothing is computed twice and no map is ever whole in memory.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]


class Tap:
    """One reader of a map; what all readers have gone past is let go.

    Args:
        source: The map that is read.
    """

    def __init__(self, source: 'RowMap') -> None:
        self.source = source
        self.size = source.size
        self.first: int | None = None

    def __call__(self, first: int, last: int) -> Tensor:
        """Rows ``first`` to ``last - 1``, (1, C, last - first, W)."""
        self.first = first
        return self.source.rows(first, last)


class RowMap:
    """A map (1, C, H, W), computed from top to bottom.

    Args:
        size: (H, W).
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self._taps: list[Tap] = []
        self._kept: Tensor | None = None
        self._start = 0

    def compute(self, first: int, last: int) -> Tensor:
        """Rows ``first`` to ``last - 1``, (1, C, last - first, W)."""
        raise NotImplementedError

    def tap(self) -> Tap:
        """A new reader of this map."""
        self._taps.append(Tap(self))
        return self._taps[-1]

    def rows(self, first: int, last: int) -> Tensor:
        """Rows that are kept, and those that are still to be computed."""
        kept, start = self._kept, self._start
        if kept is None:
            kept, start = self.compute(first, last), first
        else:
            pieces = [kept]
            if last > (end := start + kept.shape[2]):
                pieces.append(self.compute(end, last))
            if first < start:
                pieces.insert(0, self.compute(first, start))
                start = first
            kept = torch.cat(pieces, dim=2) if len(pieces) > 1 else kept
        out = kept[:, :, first - start : last - start]
        oldest = min(start if tap.first is None else tap.first for tap in self._taps)
        if oldest > start:
            # A view would hold the memory of the rows that are let go.
            kept, start = kept[:, :, oldest - start :].clone(), oldest
        self._kept, self._start = kept, start
        return out


class Stored(RowMap):
    """A map that is stored, in memory or in a file.

    Args:
        size: (H, W).
        read: ``read(first, last)`` gives rows, (1, C, last - first, W).
    """

    def __init__(self, size: Size, read: Callable[[int, int], Tensor]) -> None:
        super().__init__(size)
        self.rows = read  # type: ignore[method-assign]

    @classmethod
    def of(cls, x: Tensor) -> 'Stored':
        """A map in memory, (1, C, H, W)."""
        return cls((x.shape[2], x.shape[3]), lambda first, last: x[:, :, first:last])


class Local(RowMap):
    """A module whose outputs depend on rows at most ``halo`` away.

    The module pads with zeros. It does so at the ends of every band too, but
    the rows that see it there are cut off.

    Args:
        source: What the module is applied to.
        module: From (1, C, H, W) to a map of the same size.
        halo: Rows above and below that an output needs.
    """

    def __init__(self, source: RowMap, module: Callable[[Tensor], Tensor], halo: int = 0) -> None:
        super().__init__(source.size)
        self.source, self.module, self.halo = source.tap(), module, halo

    def compute(self, first: int, last: int) -> Tensor:
        """Rows of the module's output."""
        above = max(0, first - self.halo)
        below = min(self.size[0], last + self.halo)
        return self.module(self.source(above, below))[:, :, first - above : last - above]


class Enlarged(RowMap):
    """Transposed convolutions that turn each pixel into ``times`` x ``times``.

    Args:
        source: What the module is applied to.
        module: From (1, C, H, W) to (1, C', times * H, times * W).
        times: A whole number.
    """

    def __init__(self, source: RowMap, module: Callable[[Tensor], Tensor], times: int) -> None:
        super().__init__((source.size[0] * times, source.size[1] * times))
        self.source, self.module, self.times = source.tap(), module, times

    def compute(self, first: int, last: int) -> Tensor:
        """Rows of the module's output."""
        above = first // self.times
        out = self.module(self.source(above, -(-last // self.times)))
        return out[:, :, first - above * self.times : last - above * self.times]


class Reduced(RowMap):
    """Pooling of ``times`` x ``times`` pixels, the last ones of fewer.

    Args:
        source: What the module is applied to.
        module: From (1, C, H, W) to (1, C', ceil(H / times), ceil(W / times)).
        times: A whole number.
    """

    def __init__(self, source: RowMap, module: Callable[[Tensor], Tensor], times: int) -> None:
        super().__init__((-(-source.size[0] // times), -(-source.size[1] // times)))
        self.source, self.module, self.times = source.tap(), module, times

    def compute(self, first: int, last: int) -> Tensor:
        """Rows of the module's output."""
        below = min(last * self.times, self.source.size[0])
        return self.module(self.source(first * self.times, below))


class Resized(RowMap):
    """``F.interpolate``: rows by its formulas, columns by itself.

    Args:
        source: What is resized.
        size: (H, W) to resize to.
        mode: ``'bilinear'`` or ``'nearest'``.
        align_corners: As ``F.interpolate`` has it; for ``'bilinear'``.
    """

    def __init__(
        self, source: RowMap, size: Size, mode: str = 'bilinear', align_corners: bool | None = None
    ) -> None:
        super().__init__(size)
        self.source, self.mode = source.tap(), mode
        self.align_corners = bool(align_corners) if mode == 'bilinear' else None

    def compute(self, first: int, last: int) -> Tensor:
        """Resized rows."""
        above, below = self.needs(first, last)
        return self.between(self.source(above, below), above, first, last)

    def needs(self, first: int, last: int) -> tuple[int, int]:
        """First row of the source that these rows are made from, and the row after the last."""
        upper, lower, _ = self._places(first, last, torch.float32)
        return int(upper[0]), int(lower[-1]) + 1

    def between(self, x: Tensor, above: int, first: int, last: int) -> Tensor:
        """Resize rows that are at hand.

        Args:
            x: Rows of the source.
            above: The row of the source that ``x`` begins with.
            first, last: The rows wanted.
        """
        upper, lower, weight = self._places(first, last, x.dtype)
        # Channels last: what follows is faster by far.
        grid = x.permute(0, 2, 3, 1)
        rows = grid.index_select(1, (upper - above).to(x.device))
        if weight is not None:
            share = weight.to(x.device)[:, None, None]
            rows.mul_(1 - share)
            rows.addcmul_(grid.index_select(1, (lower - above).to(x.device)), share)
        rows = rows.permute(0, 3, 1, 2)
        if self.source.size[1] == self.size[1]:
            return rows
        size = (last - first, self.size[1])
        return F.interpolate(rows, size, mode=self.mode, align_corners=self.align_corners)

    def _places(
        self, first: int, last: int, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Source rows above and below each row, and the weight of those below."""
        source, target = self.source.size[0], self.size[0]
        wanted = torch.arange(first, last, dtype=dtype)
        if self.mode == 'nearest':
            # In torch's own arithmetic, whose rounding decides.
            rows = _factor(source, target, dtype).mul(wanted).floor().long().clamp(max=source - 1)
            return rows, rows, None
        if self.align_corners:
            place = wanted * _factor(source - 1, target - 1, dtype)
        else:
            place = ((wanted + 0.5) * _factor(source, target, dtype) - 0.5).clamp(min=0)
        upper = place.long().clamp(max=source - 1)
        return upper, (upper + 1).clamp(max=source - 1), (place - upper).clamp(0, 1)


def _factor(source: int, target: int, dtype: torch.dtype) -> Tensor:
    """The quotient of two sizes, rounded as torch rounds it; 0 for one row."""
    return torch.tensor(source, dtype=dtype) / target if target > 0 else torch.tensor(0.0).to(dtype)


class Joined(RowMap):
    """Maps of one size, added up or put behind each other.

    Args:
        sources: The maps.
        join: From their rows to one tensor.
    """

    def __init__(self, sources: Sequence[RowMap], join: Callable[[list[Tensor]], Tensor]) -> None:
        super().__init__(sources[0].size)
        self.sources, self.join = [source.tap() for source in sources], join

    def compute(self, first: int, last: int) -> Tensor:
        """Joined rows."""
        return self.join([source(first, last) for source in self.sources])


def added(*sources: RowMap) -> RowMap:
    """The sum of maps."""
    return Joined(sources, lambda rows: sum(rows[1:], start=rows[0]))


def stacked(*sources: RowMap) -> RowMap:
    """Maps as channels of one."""
    return Joined(sources, lambda rows: torch.cat(rows, dim=1))


def pooled(source: RowMap, sizes: Sequence[int], band: int) -> list[Tensor]:
    """``F.adaptive_avg_pool2d`` to several sizes, in one pass over the rows.

    Args:
        source: What is pooled.
        sizes: Rows and columns of each output.
        band: Rows at a time.

    Returns:
        One map (1, C, size, size) each.
    """
    height = source.size[0]
    read = source.tap()
    sums: list[Tensor | float] = [0.0] * len(sizes)
    for first in range(0, height, band):
        last = min(first + band, height)
        x = read(first, last)
        for i, size in enumerate(sizes):
            columns = F.adaptive_avg_pool2d(x, (last - first, size))[0].double()  # (C, rows, size)
            rows = torch.arange(first, last)
            bins = torch.arange(size)[:, None]
            start, end = bins * height // size, -(-(bins + 1) * height // size)
            share = ((rows >= start) & (rows < end)).double() / (end - start)  # (size, rows)
            sums[i] = sums[i] + share.to(x.device) @ columns
    return [each[None].to(x.dtype) for each in sums]  # type: ignore[index]
