"""A transformer block over a piece of the tokens at a time; exact.

Everything in the block but two sums of the attention is of each token alone.
The tokens are therefore gone through twice: for the sums, and then, in place,
for the outputs. Beside the tokens only one piece's work is in memory.
"""
from typing import Iterable, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import anchor_sums, attend_to_sums
from .attention import LearnedAnchorAttention
from .block import TransformerBlock

Rows = Tuple[int, int]


def check_chunks(chunk_tokens: int, blocks: Iterable[nn.Module]) -> None:
    """Refuse what :func:`run_block_in_chunks` cannot do.

    Args:
        chunk_tokens: How many tokens a band may have.
        blocks: The blocks.

    Raises:
        ValueError: If ``chunk_tokens`` is below 1, or an attention has no
            learned anchors.
    """
    if chunk_tokens < 1:
        raise ValueError('chunk_tokens must be at least 1, or None for all '
                         f'tokens at once, got {chunk_tokens}')
    for block in blocks:
        if not isinstance(block.attn, LearnedAnchorAttention):
            raise ValueError(
                f'chunk_tokens={chunk_tokens} needs LearnedAnchorAttention, '
                'which adds up over pieces; got '
                f'{type(block.attn).__name__}')


def split_rows(hw_shape: Tuple[int, int], chunk_tokens: int) -> List[Rows]:
    """Split a map into bands of whole rows.

    Args:
        hw_shape: (H, W) of the map, in tokens.
        chunk_tokens: How many tokens a band may have; one row is the least.

    Returns:
        First row and the row after the last of each band.

    Example:
        >>> split_rows((5, 10), 25)
        [(0, 2), (2, 4), (4, 5)]
    """
    height, width = hw_shape
    step = max(1, chunk_tokens // width)
    return [(row, min(row + step, height)) for row in range(0, height, step)]


def token_span(rows: Rows, width: int, num_extra: int) -> slice:
    """The tokens of a band of rows; extra tokens go with the first band.

    Example:
        >>> token_span((0, 2), 10, 1), token_span((2, 4), 10, 1)
        (slice(0, 21, None), slice(21, 41, None))
    """
    first, last = rows
    start = num_extra + first * width if first else 0
    return slice(start, num_extra + last * width)


@torch.no_grad()
def run_block_in_chunks(block: TransformerBlock, x: Tensor,
                        hw_shape: Tuple[int, int], bands: List[Rows]) -> None:
    """Apply a block to tokens, in place, a band of rows at a time.

    Args:
        block: In evaluation mode, with a ``LearnedAnchorAttention``.
        x: Tokens, (B, N, C), extra tokens first; replaced by the outputs.
        hw_shape: (H, W) of the map that the last H * W tokens form.
        bands: What :func:`split_rows` gave for it.
    """
    attn: LearnedAnchorAttention = block.attn
    width = hw_shape[1]
    num_extra = x.shape[1] - hw_shape[0] * width
    spans = [token_span(rows, width, num_extra) for rows in bands]
    sums = mass = 0
    for span in spans:
        piece = anchor_sums(*attn.scores_and_values(block.norm1(x[:, span])))
        sums, mass = sums + piece[0], mass + piece[1]
    above: Optional[Tensor] = None
    for rows, span in zip(bands, spans):
        tokens = x[:, span]
        scores = attn.scores(block.norm1(tokens))
        mixed = attn.merge_heads(attend_to_sums(scores, sums, mass))
        mixed = mixed.to(tokens.dtype)
        if attn.depthwise is not None:
            patches = x[:, num_extra:]
            local, above = _local_branch(block, patches, hw_shape, rows, above)
            mixed[:, -local.shape[1]:] += local
        tokens = tokens + attn.proj(mixed)
        x[:, span] = block.mlp(block.norm2(tokens), identity=tokens)


def _local_branch(block: TransformerBlock, patches: Tensor,
                  hw_shape: Tuple[int, int], rows: Rows,
                  above: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
    """The depth-wise convolution of the values of a band.

    Args:
        block: The block.
        patches: Tokens of the map, (B, H * W, C), those of earlier bands
            already replaced.
        hw_shape: (H, W) of the map.
        rows: The band.
        above: Values of the row before the band, (B, C, 1, W), which are no
            longer to be had from ``patches``; ``None`` at the top.

    Returns:
        The branch, (B, n, C), and ``above`` of the next band.
    """
    (height, width), (first, last) = hw_shape, rows
    below = min(last + 1, height)
    tokens = block.norm1(patches[:, first * width:below * width])
    values = block.attn.values(tokens).transpose(1, 2)
    values = values.unflatten(2, (below - first, width))
    next_above = values[:, :, last - first - 1:last - first]
    # Rows outside of the map are zeros, as in the convolution's own padding.
    missing = torch.zeros_like(next_above)
    band = [missing if above is None else above, values]
    if below == last:
        band.append(missing)
    conv = block.attn.depthwise
    local = F.conv2d(
        torch.cat(band, dim=2),
        conv.weight,
        conv.bias,
        padding=(0, 1),
        groups=conv.groups)
    return local.flatten(2).transpose(1, 2), next_above
