"""Geometry of the token map: evenly spread tokens, resized embeddings."""

import torch
import torch.nn.functional as F
from torch import Tensor


def even_token_indices(height: int, width: int, num: int, device: torch.device | str) -> Tensor:
    """Choose tokens spread evenly over an H x W map, always the same ones.

    Rows of chosen tokens are about as far apart as the tokens in a row. Equal
    steps through the flattened map would line the tokens up in one column at
    some map sizes.

    Args:
        height: Height of the map in tokens.
        width: Width of the map in tokens.
        num: Number of tokens to choose, at most ``height * width``.
        device: Device of the returned indices.

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
    # From the first index of each row to that of the next one.
    first = (row * num + rows - 1) // rows
    count = ((row + 1) * num + rows - 1) // rows - first
    column = (2 * (index - first) + 1) * width // (2 * count)
    return (2 * row + 1) * height // (2 * rows) * width + column


def infer_grid(num: int, like: tuple[int, int]) -> tuple[int, int] | None:
    """Infer height and width of a checkpoint's token map.

    Args:
        num: Number of tokens in the checkpoint.
        like: (H, W) of the model's map.

    Returns:
        (h, w) with h * w = ``num`` and the aspect ratio of ``like`` if there
        are such integers, else about equal ones; ``None`` if there are none.

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
    embedding: Tensor, source: tuple[int, int], target: tuple[int, int], num_extra: int
) -> Tensor:
    """Resize the map part of a position embedding by bicubic interpolation.

    Args:
        embedding: (1, num_extra + h * w, C); extra tokens come first and are
            not changed.
        source: (h, w), in tokens.
        target: (H, W), in tokens.
        num_extra: Number of extra tokens.

    Returns:
        (1, num_extra + H * W, C), in the dtype of ``embedding``.
    """
    extra, grid = embedding.split((num_extra, embedding.shape[1] - num_extra), dim=1)
    grid = grid.transpose(1, 2).unflatten(2, source)  # (1, C, h, w)
    # In half precision the interpolation weights would be rounded, too.
    wide = torch.promote_types(grid.dtype, torch.float32)
    grid = F.interpolate(grid.to(wide), size=target, mode='bicubic', align_corners=False)
    grid = grid.to(embedding.dtype).flatten(2).transpose(1, 2)
    return torch.cat((extra, grid), dim=1)
