"""A transformer block over a piece of the tokens at a time; exact.

Everything in the block but two sums of the attention is of each token alone.
The tokens are therefore gone through twice: for the sums, and then, in place,
for the outputs. Beside the tokens and the weights that share them out only one
piece's work is in memory. That also fits the caches of a CPU, so that it is
faster than all at once.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import spread_means, token_sums
from .block import TransformerBlock
from .learned_attention import FoldedWeights, LearnedAnchorAttention

Rows = tuple[int, int]


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
        raise ValueError(
            f'chunk_tokens must be at least 1, or None for all tokens at once, got {chunk_tokens}'
        )
    for block in blocks:
        # A subclass may do more, which its bands would leave out.
        if type(block.attn) is not LearnedAnchorAttention:
            raise ValueError(
                f'chunk_tokens={chunk_tokens} needs LearnedAnchorAttention, '
                'which adds up over pieces; got '
                f'{type(block.attn).__name__}'
            )


def split_rows(hw_shape: tuple[int, int], chunk_tokens: int) -> list[Rows]:
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
def run_block_in_chunks(
    block: TransformerBlock, x: Tensor, hw_shape: tuple[int, int], bands: list[Rows]
) -> None:
    """Apply a block to tokens, in place, a band of rows at a time.

    Args:
        block: In evaluation mode, with a ``LearnedAnchorAttention``.
        x: Tokens, (B, N, C), extra tokens first; replaced by the outputs.
        hw_shape: (H, W) of the map that the last H * W tokens form.
        bands: What :func:`split_rows` gave for it.
    """
    attn: LearnedAnchorAttention = block.attn
    weights = attn.folded_weights()
    width = hw_shape[1]
    num_extra = x.shape[1] - hw_shape[0] * width
    spans = [token_span(rows, width, num_extra) for rows in bands]
    assign, means = _first_pass(block, weights, x, spans)
    above: Tensor | None = None
    for rows, span in zip(bands, spans):
        mixed = spread_means(assign[:, span], means, attn.proj.bias)
        if attn.depthwise is not None:
            maps = x[:, num_extra:].unflatten(1, hw_shape)
            local, above = _local_branch(block, weights, maps, rows, above)
            mixed[:, -local.shape[1] :] += local
        tokens = x[:, span] + mixed.to(x.dtype)
        x[:, span] = block.mlp(block.norm2(tokens), identity=tokens)


def _first_pass(
    block: TransformerBlock, weights: FoldedWeights, x: Tensor, spans: list[slice]
) -> tuple[Tensor, Tensor]:
    """A of all tokens, and the projected means of the anchors.

    A is kept: it needs heads * M / C of the tokens' memory, half in the usual
    sizes, and saves a second normalisation, projection and softmax. It is one
    tensor, which the system gets back as a whole; a list of bands would stay
    with the process.
    """
    assign: Tensor | None = None
    total = [0, 0]
    for span in spans:
        tokens = block.norm1(x[:, span])
        piece = weights.assign(tokens)
        if assign is None:
            assign = piece.new_empty(*x.shape[:2], piece.shape[2])
        assign[:, span] = piece
        # Added up in float64, so that no number of bands adds rounding.
        total = [a + b.double() for a, b in zip(total, token_sums(piece, tokens))]
    means = weights.project(*(each.to(assign.dtype) for each in total))
    return assign, means


def _local_branch(
    block: TransformerBlock, weights: FoldedWeights, maps: Tensor, rows: Rows, above: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The depth-wise convolution of a band's values, through the projection.

    Args:
        block: The block.
        weights: Of its attention.
        maps: Tokens, (B, H, W, C), those of earlier bands already replaced.
        rows: The band.
        above: Values of the row before the band, (B, C, 1, W), which are no
            longer to be had from ``maps``; ``None`` at the top.

    Returns:
        The branch, (B, n, C), and ``above`` of the next band.
    """
    first, last = rows
    below = min(last + 1, maps.shape[1])
    values = weights.values(block.norm1(maps[:, first:below]))
    values = values.permute(0, 3, 1, 2)  # (B, C, rows, W)
    next_above = values[:, :, last - first - 1 : last - first]
    # Rows outside of the map are zeros, as in the convolution's own padding.
    missing = torch.zeros_like(next_above)
    band = [missing if above is None else above, values]
    if below == last:
        band.append(missing)
    conv = block.attn.depthwise
    local = F.conv2d(
        torch.cat(band, dim=2), conv.weight, conv.bias, padding=(0, 1), groups=conv.groups
    )
    local = local.flatten(2).transpose(1, 2)
    return F.linear(local, weights.out_weight), next_above
