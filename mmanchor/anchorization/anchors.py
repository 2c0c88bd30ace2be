"""Initial anchors when softmax attention is replaced.

Pure torch. Letters: T tokens, M anchors, C width of a token, D width of a head.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Seed of all random choices, so that a conversion always gives the same file.
SEED = 0


def kmeans(points: Tensor, num: int, *, steps: int = 20) -> Tensor:
    r"""Cluster centers by k-means: Lloyd's iterations from a k-means++ start.

    Args:
        points: G sets of points, (G, T, D), floating-point; each set is
            clustered separately.
        num: Number of centers per set, at most T.
        steps: Number of iterations, at least 1. A center without points does
            not move.

    Returns:
        Centers, (G, num, D), in the dtype of ``points``. The result is
        deterministic.

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
            'points to cluster must be finite, got NaN or Inf; check the weights and the images'
        )
    centers = _spread_out(points, num)
    for _ in range(steps):
        nearest = torch.cdist(points, centers).argmin(dim=2)  # (G, T)
        index = nearest.unsqueeze(2).expand_as(points)
        sums = torch.zeros_like(centers).scatter_add_(1, index, points)
        counts = torch.zeros_like(centers).scatter_add_(1, index, torch.ones_like(points))
        centers = torch.where(counts > 0, sums / counts.clamp_min(1), centers)
    return centers


def _spread_out(points: Tensor, num: int) -> Tensor:
    """Initial centers of k-means++: points far from each other, (G, num, D)."""
    generator = torch.Generator(points.device).manual_seed(SEED)
    sets = torch.arange(len(points), device=points.device)
    chosen = [points[:, 0]]
    distance = torch.full_like(points[..., 0], torch.inf)  # (G, T)
    while len(chosen) < num:
        to_last = (points - chosen[-1].unsqueeze(1)).square().sum(dim=2)
        distance = torch.minimum(distance, to_last)
        # If all points are equal, all distances are 0; if points are large,
        # the sum of distances would be infinite.
        limits = torch.finfo(distance.dtype)
        weights = distance.clamp(limits.tiny, limits.max / points.shape[1])
        index = torch.multinomial(weights, 1, generator=generator)
        chosen.append(points[sets, index.squeeze(1)])
    return torch.stack(chosen, dim=1)


def queries_as_anchors(
    weight: Tensor, bias: Tensor | None, norm: tuple[Tensor, Tensor], shape: Sequence[int]
) -> Tensor:
    """Draw anchors from a query projection, without images.

    Layer normalization standardizes tokens to mean 0 and variance 1, then
    scales and shifts them. M random tokens with these statistics are used in
    place of real ones; their queries are the anchors.

    Args:
        weight: Weight of the query projection, (C, C), heads one after
            another.
        bias: Its bias, (C,); ``None`` is zero.
        norm: Weight and bias of the layer normalization before it, (C,) each.
        shape: Shape of the anchors: (heads, M, D), or (M, D) for anchors that
            the heads share, which are then taken from the heads in turn.

    Returns:
        Anchors of that shape. The result is deterministic.

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
    r"""Fold a value bias into the bias of the output projection.

    The attention weights of every token sum to 1, so that a constant added to
    all values is added to the output:
    :math:`W (P (V + b_v)) + b = W P V + (b + W b_v)`.

    Args:
        value_bias: b_v, (C,).
        weight: W, weight of the output projection, (C, C).
        bias: b, its bias, (C,).

    Returns:
        b + W b_v, computed in float64, in the dtype of ``bias``.
    """
    folded = bias.double() + weight.double() @ value_bias.double()
    return folded.to(bias.dtype)
