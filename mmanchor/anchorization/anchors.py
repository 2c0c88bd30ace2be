"""Where anchors start if softmax attention gives its place to them.

Pure torch. Letters: T tokens, M anchors, C width of a token, D of a head.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Of every random choice: a conversion gives the same file each time.
SEED = 0


def kmeans(points: Tensor, num: int, *, steps: int = 20) -> Tensor:
    r"""Centres of clusters, by Lloyd's iterations from a k-means++ start.

    Args:
        points: (G, T, D), floating; the G sets are clustered apart.
        num: Centres of each set, at most T.
        steps: Iterations, at least 1. A centre that loses all its points
            stays where it is.

    Returns:
        Centres, (G, num, D), in the dtype of ``points``; the same for the
        same points.

    Raises:
        ValueError: If ``num`` exceeds T, or a point is not finite.

    Example:
        >>> points = torch.tensor([[[0.0], [1.0], [10.0], [11.0]]])
        >>> kmeans(points, 2).flatten().sort().values
        tensor([ 0.5000, 10.5000])
    """
    if not 1 <= num <= points.shape[1]:
        raise ValueError(
            f'{num} clusters need as many points, got {points.shape[1]}; give more images'
        )
    if not points.isfinite().all():
        raise ValueError(
            'points to cluster must be finite, got NaN or '
            'infinity; the weights or the images have such'
        )
    centres = _spread_out(points, num)
    for _ in range(steps):
        nearest = torch.cdist(points, centres).argmin(dim=2)  # (G, T)
        index = nearest.unsqueeze(2).expand_as(points)
        sums = torch.zeros_like(centres).scatter_add_(1, index, points)
        counts = torch.zeros_like(centres).scatter_add_(1, index, torch.ones_like(points))
        centres = torch.where(counts > 0, sums / counts.clamp_min(1), centres)
    return centres


def _spread_out(points: Tensor, num: int) -> Tensor:
    """Points far from each other: the start of k-means++, (G, num, D)."""
    generator = torch.Generator(points.device).manual_seed(SEED)
    sets = torch.arange(len(points), device=points.device)
    chosen = [points[:, 0]]
    distance = torch.full_like(points[..., 0], torch.inf)  # (G, T)
    while len(chosen) < num:
        to_last = (points - chosen[-1].unsqueeze(1)).square().sum(dim=2)
        distance = torch.minimum(distance, to_last)
        # Points that are all alike have no distance to draw by, and the sum
        # of those of large points would be infinite.
        limits = torch.finfo(distance.dtype)
        weights = distance.clamp(limits.tiny, limits.max / points.shape[1])
        index = torch.multinomial(weights, 1, generator=generator)
        chosen.append(points[sets, index.squeeze(1)])
    return torch.stack(chosen, dim=1)


def queries_as_anchors(
    weight: Tensor, bias: Tensor | None, norm: tuple[Tensor, Tensor], shape: Sequence[int]
) -> Tensor:
    """Anchors drawn from a query projection, without any image.

    A layer normalisation gives tokens of mean 0 and variance 1 before it
    scales and shifts them. M random tokens of that kind are normalised
    tokens' stand-ins; their queries are the anchors.

    Args:
        weight: The query projection, (C, C), heads one after another.
        bias: Its bias, (C, ); ``None`` is zero.
        norm: Weight and bias of the layer normalisation before it, (C, ).
        shape: Of the anchors: (heads, M, D), or (M, D) for anchors that the
            heads share, which are taken from the heads in turn.

    Returns:
        Anchors of that shape; the same for the same weights.

    Example:
        >>> eye, ones = torch.eye(4), (torch.ones(4), torch.zeros(4))
        >>> queries_as_anchors(eye, None, ones, (2, 3, 2)).shape
        torch.Size([2, 3, 2])
    """
    num, width = shape[-2:]
    generator = torch.Generator().manual_seed(SEED)
    tokens = torch.randn(num, len(norm[0]), generator=generator)
    tokens = tokens.to(weight) * norm[0] + norm[1]
    queries = F.linear(tokens, weight, bias)
    queries = queries.unflatten(1, (-1, width)).transpose(0, 1)
    if len(shape) == 3:
        return queries
    index = torch.arange(num, device=queries.device)
    return queries[index % len(queries), index]


def fold_value_bias(value_bias: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    r"""Bias of an output projection that stands for a value bias too.

    Every token's attention weights sum to 1, so that a constant added to all
    values passes through: :math:`W (P (V + b_v)) + b = W P V + (b + W b_v)`.

    Args:
        value_bias: b_v, (C, ).
        weight: W, (C, C).
        bias: b, (C, ).

    Returns:
        b + W b_v, summed in float64, in the dtype of ``bias``.
    """
    folded = bias.double() + weight.double() @ value_bias.double()
    return folded.to(bias.dtype)
