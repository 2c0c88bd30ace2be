"""Pooling of boxes by the mean of bilinear samples, where autograd is needed."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

Places = Callable[[Tensor, tuple[int, int]], tuple[Tensor, Tensor]]


def sampling_grids(
    sides: Tensor, size: tuple[int, int], ratio: int
) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """Group boxes by the number of samples, vertical and horizontal, of a cell.

    Args:
        sides: Width and height of each box in pixels of the map, (N, 2).
        size: Cells of a box, vertical and horizontal.
        ratio: Samples along each side of a cell; 0 takes as many as the cell
            has pixels.

    Yields:
        Indices of boxes, and the numbers of samples that they share.
    """
    if ratio > 0:
        if len(sides):
            yield torch.arange(len(sides), device=sides.device), (ratio, ratio)
        return
    counts = (sides.flip(1) / sides.new_tensor(size)).ceil().long().clamp(min=1)
    for grid in counts.unique(dim=0).tolist():
        chosen = (counts == counts.new_tensor(grid)).all(1).nonzero()[:, 0]
        yield chosen, tuple(grid)


def pool(
    maps: Tensor, images: Tensor, sides: Tensor, size: tuple[int, int], ratio: int, places: Places
) -> Tensor:
    """Mean of the samples of each cell of each box.

    Args:
        maps: Feature maps, (B, C, H, W).
        images: Index of each box's image in the batch, (N,).
        sides: As in :func:`sampling_grids`.
        size: Cells of a box, (h, w).
        ratio: As in :func:`sampling_grids`.
        places: Takes indices of n boxes and the samples of a cell, (gy, gx);
            gives x and y of the samples in pixels of the map, each
            (n, h, w, gy, gx).

    Returns:
        (N, C, h, w).
    """
    parts, order = [maps.new_zeros(0, maps.size(1), *size)], []
    for chosen, grid in sampling_grids(sides, size, ratio):
        for image in images[chosen].unique():
            own = chosen[images[chosen] == image]
            samples = _samples(maps[image], *places(own, grid))
            parts.append(samples.mean((-1, -2)).transpose(0, 1))
            order.append(own)
    return torch.cat(parts)[torch.cat(order).argsort()] if order else parts[0]


def shares(cells: int, samples: int, like: Tensor) -> Tensor:
    """Where the samples of each cell lie along a side, from 0 to 1.

    Returns:
        (cells, samples), of the dtype and device of ``like``.

    Example:
        >>> shares(2, 1, torch.zeros(1)).tolist()
        [[0.25], [0.75]]
    """
    steps = torch.arange(cells * samples, device=like.device, dtype=like.dtype) + 0.5
    return (steps / (cells * samples)).view(cells, samples)


def _samples(plane: Tensor, x: Tensor, y: Tensor) -> Tensor:
    # Bilinear, (C, *shape): edge pixels reach one pixel out, then comes zero.
    height, width = plane.shape[1:]
    lattice = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], -1)
    values = F.grid_sample(
        plane[None], lattice.view(1, -1, 1, 2), padding_mode='border', align_corners=True
    )
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    return values.view(-1, *x.shape) * inside
