r"""Anchor attention from tokens to tokens, without keys or values.

Tokens X (B, N, C) become outputs by heads h of M anchors each:

.. math:: Y = \sum_h A_h \, \Delta_h^{-1} A_h^\top X \, W^V_h W^O_h

Eq. 11 and 12 of AnchorFormer (arXiv 2505.16463) between the projections of
values and of outputs. Multiplied from the middle, the two projections are
applied to the heads * M means of the anchors and not to the N tokens: a token
then costs 3 heads M C multiply-adds, instead of heads M C + 2 C C + 2 M C.
Heads lie side by side in the last axis, so that every product over tokens is
one matrix product per image and nothing is transposed.

The sums over tokens may also be added up piece by piece, over bands of an
image or over devices. Everything is computed in float32 (float64 for float64
input), also under autocast.
"""

import torch
from torch import Tensor

from .anchor_attention import at_least_float32, bounded_mass, linked_means, no_autocast


def assign_heads(scores: Tensor, num_heads: int) -> Tensor:
    """Assign every token to the anchors of each head, softly.

    Args:
        scores: Scores, heads side by side, (B, N, heads * M).
        num_heads: Number of heads.

    Returns:
        A, (B, N, heads * M): the weights of a token sum to 1 in each head.

    Example:
        >>> assign_heads(torch.zeros(1, 1, 6), 2)[0, 0, :2]
        tensor([0.3333, 0.3333])
    """
    scores = at_least_float32(scores).unflatten(2, (num_heads, -1))
    return scores.softmax(dim=-1).flatten(2)  # in float32 also under autocast


def token_sums(assign: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    r"""The sums :math:`A^\top X` and :math:`A^\top 1` over tokens.

    Args:
        assign: A, (B, n, heads * M).
        x: X, (B, n, C).

    Returns:
        (B, heads * M, C) and (B, heads * M). The sums over pieces of an image
        add up to those over the whole.

    Example:
        >>> token_sums(torch.full((1, 4, 2), 0.5), torch.ones(1, 4, 3))[1]
        tensor([[2., 2.]])
    """
    with no_autocast(x):
        sums = torch.matmul(assign.transpose(1, 2), x.to(assign.dtype))
        return sums, assign.sum(dim=1)


def project_means(
    sums: Tensor,
    mass: Tensor,
    value_weight: Tensor,
    value_bias: Tensor | None,
    out_weight: Tensor,
    num_heads: int,
    links: Tensor | None = None,
) -> Tensor:
    r"""Apply both projections, :math:`W^V_h W^O_h`, to the anchors' means.

    Args:
        sums: :math:`A^\top X`, (B, heads * M, C).
        mass: :math:`A^\top 1`, (B, heads * M).
        value_weight: Weight of the value projection, (C, C), laid out as in
            ``nn.Linear``.
        value_bias: Its bias, (C,), or ``None``.
        out_weight: Weight of the output projection, (C, C).
        num_heads: Number of heads.
        links: (heads, M, M) of :func:`~.anchor_attention.linked_means`, or
            ``None``.

    Returns:
        What each anchor contributes to a token's output, (B, heads * M, C).

    Example:
        >>> project_means(
        ...     torch.full((1, 4, 2), 6.0),
        ...     torch.full((1, 4), 3.0),
        ...     torch.eye(2),
        ...     None,
        ...     torch.eye(2),
        ...     2,
        ... )[0, 0]
        tensor([2., 0.])
    """
    mass = bounded_mass(mass)
    means = sums / mass.unsqueeze(-1)
    means = means.unflatten(1, (num_heads, -1))  # (B, heads, M, C)
    split = value_weight.to(means.dtype).unflatten(0, (num_heads, -1))
    # From the D channels of a head to the output, (heads, D, C).
    joined = out_weight.to(means.dtype).t().unflatten(0, (num_heads, -1))
    with no_autocast(sums):
        if links is not None:
            means = linked_means(means, mass.unflatten(1, (num_heads, -1)), links)
        values = torch.matmul(means, split.transpose(1, 2))
        if value_bias is not None:
            values = values + value_bias.unflatten(0, (num_heads, 1, -1))
        return torch.matmul(values, joined).flatten(1, 2)


def spread_means(assign: Tensor, means: Tensor, bias: Tensor | None) -> Tensor:
    """Outputs of the tokens from the anchors' projected means.

    Args:
        assign: A, (B, n, heads * M).
        means: Result of :func:`project_means`, (B, heads * M, C).
        bias: Bias of the output projection, (C,), or ``None``.

    Returns:
        Y, (B, n, C).

    Example:
        >>> spread_means(torch.full((1, 2, 2), 0.5), torch.ones(1, 2, 3), torch.ones(3))[0, 0]
        tensor([2., 2., 2.])
    """
    with no_autocast(assign):
        out = torch.matmul(assign, means)
        return out if bias is None else out + bias
