"""Forward pass of AnchorFormer in bands of rows, for large images; exact.

In a transformer block only two sums of the anchor attention run over all
tokens; everything else is computed for each token alone. So each block goes
through the tokens twice: once for the sums, once, in place, for the outputs.
Apart from the tokens and their weights for the anchors, only one band is in
memory at a time. A band also fits the caches of a CPU, which makes this faster
than all tokens at once.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import spread_means, token_sums
from .block import TransformerBlock
from .learned_attention import FoldedWeights, LearnedAnchorAttention
from .token_layout import TokenLayout

if TYPE_CHECKING:
    from ..backbones import AnchorFormer

# First row of a band and the row after its last.
Rows = tuple[int, int]
# Adds up a tensor over processes, in place.
AddUp = Callable[[Tensor], None]


def check_chunk_tokens(chunk_tokens: int, blocks: Iterable[nn.Module]) -> None:
    """Check that blocks can run in bands.

    Args:
        chunk_tokens: Maximum number of tokens in a band.
        blocks: The blocks of the trunk.

    Raises:
        ValueError: If ``chunk_tokens`` is below 1, or an attention has no
            learned anchors.
    """
    if chunk_tokens < 1:
        raise ValueError(
            f'chunk_tokens must be at least 1, or None for all tokens at once, got {chunk_tokens}'
        )
    for block in blocks:
        # A subclass may do more, which would be missing in the bands.
        if type(block.attn) is not LearnedAnchorAttention:
            raise ValueError(
                f'chunk_tokens={chunk_tokens} needs LearnedAnchorAttention, '
                f'whose sums can be added up over bands; got {type(block.attn).__name__}'
            )


@torch.no_grad()
def forward_in_bands(model: 'AnchorFormer', images: Tensor, chunk_tokens: int) -> tuple[Any, ...]:
    """:meth:`AnchorFormer.forward` in bands; maps are channels last.

    Args:
        model: The trunk, in evaluation mode.
        images: (B, in_channels, H, W).
        chunk_tokens: Maximum number of tokens in a band, at least one row.

    Returns:
        What ``model(images)`` returns.
    """
    layout = layout_of(model, (images.shape[2], images.shape[3]))
    bands = split_rows(layout.hw_shape, chunk_tokens)
    size = model.patch_size
    strips = (images[:, :, first * size : last * size] for first, last in bands)
    x = embed(model, strips, layout, bands)
    outs = []
    for i in range(len(model.layers)):
        for _ in run_layer(model, i, x, layout, bands):
            pass
        if i in model.out_indices:
            # Later layers change x in place. The last output may be x itself:
            # an image of this size leaves no memory for a copy.
            is_last = i == model.out_indices[-1]
            own = x if is_last else x.clone()
            outs.append(model.format_output(own, layout, copy=False))
    return tuple(outs)


def layout_of(model: 'AnchorFormer', size: tuple[int, int]) -> TokenLayout:
    """The tokens of an image of (H, W) pixels."""
    height, width = (-(-side // model.patch_size) for side in size)
    return TokenLayout((height, width), len(model.extra_tokens))


def split_rows(hw_shape: tuple[int, int], chunk_tokens: int) -> list[Rows]:
    """Split a map into bands of whole rows.

    Args:
        hw_shape: (H, W) of the map, in tokens.
        chunk_tokens: Maximum number of tokens in a band, but at least one row.

    Returns:
        First row and the row after the last of each band.

    Example:
        >>> split_rows((5, 10), 25)
        [(0, 2), (2, 4), (4, 5)]
    """
    height, width = hw_shape
    step = max(1, chunk_tokens // width)
    return [(row, min(row + step, height)) for row in range(0, height, step)]


def token_span(rows: Rows, layout: TokenLayout) -> slice:
    """The tokens of a band; extra tokens belong to the first band.

    Example:
        >>> layout = TokenLayout((4, 10), num_extra=1)
        >>> token_span((0, 2), layout), token_span((2, 4), layout)
        (slice(0, 21, None), slice(21, 41, None))
    """
    first, last = rows
    width = layout.hw_shape[1]
    start = layout.num_extra + first * width if first else 0
    return slice(start, layout.num_extra + last * width)


def embed(
    model: 'AnchorFormer', strips: Iterable[Tensor], layout: TokenLayout, bands: list[Rows]
) -> Tensor:
    """Tokens with their position embedding.

    Args:
        model: The trunk.
        strips: The pixels of each band, (B, in_channels, rows, W).
        layout: Layout of the tokens of the image.
        bands: The bands to embed, one after the other.

    Returns:
        (B, N, C), N being the tokens of these bands and the extra ones.
    """
    width, start = layout.hw_shape[1], bands[0][0]
    num_extra = layout.num_extra
    num_tokens = num_extra + (bands[-1][1] - start) * width
    positions = PositionRows(model.pos_embed, model.grid, layout.hw_shape, num_extra)
    x: Tensor | None = None
    for (first, last), strip in zip(bands, strips, strict=True):
        if x is None:
            x = model.pos_embed.new_empty(len(strip), num_tokens, model.embed_dims)
            for j, param in enumerate(model.extra_params()):
                x[:, j] = param[0] + model.pos_embed[:, j]
        tokens = model.patch_embed(model.pad(strip))[0]
        span = slice(num_extra + (first - start) * width, num_extra + (last - start) * width)
        x[:, span] = tokens + positions(first, last)
    assert x is not None  # a map has rows
    return x


@torch.no_grad()
def run_layer(
    model: 'AnchorFormer',
    index: int,
    x: Tensor,
    layout: TokenLayout,
    bands: list[Rows],
    add_up: AddUp | None = None,
) -> Iterator[None]:
    """Apply a layer of the trunk to tokens, in place, with the norm after the last one.

    Args:
        model: The trunk, in evaluation mode.
        index: The layer.
        x: Tokens, (B, N, C); replaced by the outputs.
        layout: Layout of ``x``.
        bands: Its bands, from :func:`split_rows`.
        add_up: Adds up the sums over the processes that hold the other rows.

    Yields:
        Twice for each band, for progress.
    """
    yield from run_block(model.layers[index], x, layout, bands, add_up)
    if index == model.num_layers - 1 and model.norm is not None:
        for span in (token_span(rows, layout) for rows in bands):
            x[:, span] = model.norm(x[:, span])


def run_block(
    block: TransformerBlock,
    x: Tensor,
    layout: TokenLayout,
    bands: list[Rows],
    add_up: AddUp | None = None,
) -> Iterator[None]:
    """Apply a block to tokens, in place, one band at a time; as :func:`run_layer`."""
    attn: LearnedAnchorAttention = block.attn
    weights = attn.folded_weights()
    spans = [token_span(rows, layout) for rows in bands]
    assign, means = yield from _sum_up(block, weights, x, spans, add_up)
    residual = None if attn.value_residual is None else attn.residual_weights()
    above: Tensor | None = None
    for rows, span in zip(bands, spans, strict=True):
        mixed = spread_means(assign[:, span], means, attn.proj.bias)
        if attn.depthwise is not None:
            maps = x[:, layout.num_extra :].unflatten(1, layout.hw_shape)
            local, above = _local_branch(block, weights, maps, rows, above)
            mixed[:, -local.shape[1] :] += local
        if residual is not None:
            mixed += F.linear(block.norm1(x[:, span]), *residual)
        tokens = x[:, span] + mixed.to(x.dtype)
        x[:, span] = block.mlp(block.norm2(tokens), identity=tokens)
        yield


def _sum_up(
    block: TransformerBlock,
    weights: FoldedWeights,
    x: Tensor,
    spans: list[slice],
    add_up: AddUp | None,
) -> Generator[None, None, tuple[Tensor, Tensor]]:
    """A of all tokens, and the projected means of the anchors.

    A is kept: it needs heads * M / C of the tokens' memory, half in the usual
    sizes, and saves a second normalization, projection and softmax. It is one
    tensor, so that its memory goes back to the system as a whole; that of a
    list of bands would stay with the process.
    """
    assign: Tensor | None = None
    sums: Tensor | None = None
    mass: Tensor | None = None
    for span in spans:
        tokens = block.norm1(x[:, span])
        piece = weights.assign(tokens)
        if assign is None:
            assign = piece.new_empty(*x.shape[:2], piece.shape[2])
        assign[:, span] = piece
        # Added up in float64, so that rounding does not grow with the number
        # of bands.
        more_sums, more_mass = (each.double() for each in token_sums(piece, tokens))
        sums = more_sums if sums is None else sums + more_sums
        mass = more_mass if mass is None else mass + more_mass
        yield
    assert assign is not None and sums is not None and mass is not None  # a map has rows
    if add_up is not None:
        add_up(sums)
        add_up(mass)
    return assign, weights.project(sums.to(assign.dtype), mass.to(assign.dtype))


def _local_branch(
    block: TransformerBlock, weights: FoldedWeights, maps: Tensor, rows: Rows, above: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The depth-wise convolution of a band's values, through the projection.

    Args:
        block: The block.
        weights: Weights of its attention.
        maps: Tokens, (B, H, W, C); those of earlier bands are already replaced.
        rows: The band.
        above: Values of the row before the band, (B, C, 1, W), which can no
            longer be computed from ``maps``; ``None`` for the first band.

    Returns:
        The branch, (B, n, C), and ``above`` of the next band.
    """
    first, last = rows
    below = min(last + 1, maps.shape[1])
    values = weights.values(block.norm1(maps[:, first:below]))
    values = values.permute(0, 3, 1, 2)  # (B, C, rows, W)
    next_above = values[:, :, last - first - 1 : last - first]
    # Rows outside the map are zero, as in the padding of the convolution.
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


class PositionRows:
    """Rows of a resized position embedding, without all of it in memory.

    The result is that of :func:`~.token_grid.resize_position_embedding` up to
    rounding, since bicubic interpolation can resize one axis after the other.

    Args:
        embedding: As in ``resize_position_embedding``.
        source: (h, w) of the embedding, in tokens.
        target: (H, W) to resize it to, in tokens.
        num_extra: Number of extra tokens.

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
        """The rows ``first`` to ``last - 1``, (1, (last - first) * W, C)."""
        rows = self.columns[:, :, first:last]
        grid = F.interpolate(
            rows, size=(last - first, self.width), mode='bicubic', align_corners=False
        )
        return grid.to(self.dtype).flatten(2).transpose(1, 2)
