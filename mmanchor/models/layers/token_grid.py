"""Geometry of the token map: evenly spread tokens, resized embeddings."""

import torch
import torch.nn.functional as F
from torch import Tensor


def even_token_indices(height: int, width: int, num: int, device: torch.device) -> Tensor:
    """Choose tokens spread evenly over an H x W map, always the same ones.

    The tokens stand in rows about as far apart as the tokens of a row are,
    so that no size of map lines them up in one column, as equal steps
    through the flattened map would.

    Args:
        height, width: Size of the map in tokens.
        num: How many tokens, at most ``height * width``.
        device: Where the indices are put.

    Returns:
        Indices into the flattened map, (num,), int64, increasing.

    Raises:
        ValueError: If the map has fewer than ``num`` tokens.

    Example:
        >>> even_token_indices(4, 4, 4, 'cpu')
        tensor([ 5,  7, 13, 15])
    """
    if isinstance(height, Tensor):  # sizes are tensors while torch traces
        height, width = int(height), int(width)
    if num > height * width:
        raise ValueError(
            f'num_anchors={num} exceeds the {height} x {width} = '
            f'{height * width} tokens that token anchors are chosen from'
        )
    rows = round((num * height / width) ** 0.5)
    rows = min(max(rows, -(-num // width), 1), height, num)
    index = torch.arange(num, device=device)
    row = index * rows // num
    # The first index of each row and of the next: a row holds the difference.
    first = (row * num + rows - 1) // rows
    count = ((row + 1) * num + rows - 1) // rows - first
    column = (2 * (index - first) + 1) * width // (2 * count)
    return (2 * row + 1) * height // (2 * rows) * width + column


def infer_grid(num: int, like: tuple[int, int]) -> tuple[int, int] | None:
    """Height and width of a checkpoint's token map, which it does not say.

    Args:
        num: How many tokens it has.
        like: (H, W) of the model's map.

    Returns:
        The (h, w) of ``num`` tokens in the ratio of ``like`` if there are such
        integers, else ones that are about equal; ``None`` if there are none.

    Example:
        >>> [infer_grid(num, (6, 12)) for num in (8, 9, 7)]
        [(2, 4), (3, 3), None]
    """
    if num < 1:
        return None
    height = round((num * like[0] / like[1]) ** 0.5)
    if height * round(height * like[1] / like[0]) != num:
        height = round(num**0.5)
    return (height, num // height) if num % height == 0 else None


def resize_position_embedding(
    embedding: Tensor, source: tuple, target: tuple, num_extra: int
) -> Tensor:
    """Resize the map part of a position embedding by bicubic interpolation.

    Args:
        embedding: (1, num_extra + h * w, C); extra tokens come first and are
            kept as they are.
        source: (h, w), in tokens.
        target: (H, W), in tokens.
        num_extra: Number of extra tokens.

    Returns:
        (1, num_extra + H * W, C), in the dtype of ``embedding``.
    """
    extra, grid = embedding.split((num_extra, embedding.shape[1] - num_extra), dim=1)
    grid = grid.transpose(1, 2).unflatten(2, source)  # (1, C, h, w)
    # Half precision would round the weights of the interpolation too.
    wide = torch.promote_types(grid.dtype, torch.float32)
    grid = F.interpolate(grid.to(wide), size=target, mode='bicubic', align_corners=False)
    grid = grid.to(embedding.dtype).flatten(2).transpose(1, 2)
    return torch.cat((extra, grid), dim=1)


class PositionRows:
    """Rows of a resized position embedding, without all of it in memory.

    The numbers of :func:`resize_position_embedding`, up to rounding: bicubic
    interpolation takes the two axes one after the other.

    Args:
        embedding, source, target, num_extra: As
            :func:`resize_position_embedding` has them.

    Example:
        >>> rows = PositionRows(torch.rand(1, 6, 8), (2, 3), (4, 5), 0)
        >>> rows(1, 3).shape
        torch.Size([1, 10, 8])
    """

    def __init__(
        self, embedding: Tensor, source: tuple[int, int], target: tuple[int, int], num_extra: int
    ) -> None:
        self.width = target[1]
        self.dtype = embedding.dtype
        wide = torch.promote_types(embedding.dtype, torch.float32)
        grid = embedding[:, num_extra:].to(wide).transpose(1, 2)
        self.columns = F.interpolate(  # (1, C, H, w)
            grid.unflatten(2, source),
            size=(target[0], source[1]),
            mode='bicubic',
            align_corners=False,
        )

    def __call__(self, first: int, last: int) -> Tensor:
        """(1, (last - first) * W, C): the rows from ``first`` to ``last``."""
        rows = self.columns[:, :, first:last]
        grid = F.interpolate(
            rows, size=(last - first, self.width), mode='bicubic', align_corners=False
        )
        return grid.to(self.dtype).flatten(2).transpose(1, 2)
