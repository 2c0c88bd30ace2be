"""Anchor attention over tokens that are not all at hand at once.

The sums over tokens in :func:`mmanchor.ops.anchor_attention` may be taken
piece by piece: over tiles of an image, or over devices with one all-reduce of
M (Dv + 1) numbers a head. Each piece is seen twice: once for its sums, once
for its outputs.
"""
from typing import Tuple

import torch
from torch import Tensor

from .anchor_attention import (MIN_ANCHOR_MASS, at_least_float32, no_autocast)


def anchor_sums(scores: Tensor, values: Tensor) -> Tuple[Tensor, Tensor]:
    r"""What one piece adds to :math:`A^\top V` and :math:`A^\top 1`.

    Args:
        scores: Of the piece's tokens, (B, heads, n, M); see
            :func:`~mmanchor.ops.anchor_scores`.
        values: V, (B, heads, n, Dv).

    Returns:
        (B, heads, M, Dv) and (B, heads, M), in float64, so that no number
        of pieces adds rounding.

    Example:
        >>> sums, mass = anchor_sums(torch.zeros(1, 1, 4, 2),
        ...                          torch.ones(1, 1, 4, 1))
        >>> sums.flatten().tolist(), mass.flatten().tolist()
        ([2.0, 2.0], [2.0, 2.0])
    """
    with no_autocast(scores):
        wide = at_least_float32(values, scores.dtype)
        assign = scores.to(wide.dtype).softmax(dim=-1)
        sums = torch.matmul(assign.transpose(-2, -1), wide)
        return sums.double(), assign.sum(dim=-2).double()


def attend_to_sums(scores: Tensor, sums: Tensor, mass: Tensor) -> Tensor:
    r"""Outputs of one piece, the sums over all pieces known.

    .. math:: H = A \, \Delta^{-1} (A^\top V)

    Eq. 11 and 12 of AnchorFormer (arXiv 2505.16463).

    Args:
        scores: Of the piece's tokens, (B, heads, n, M).
        sums: :math:`A^\top V` of all pieces, (B, heads, M, Dv).
        mass: :math:`A^\top 1` of all pieces, (B, heads, M).

    Returns:
        H, (B, heads, n, Dv), in float32 (float64 for float64 scores), also
        under autocast.

    Example:
        >>> scores, values = torch.randn(1, 1, 6, 2), torch.randn(1, 1, 6, 3)
        >>> pieces = [anchor_sums(scores[:, :, i:i + 2], values[:, :, i:i + 2])
        ...           for i in (0, 2, 4)]
        >>> sums, mass = map(sum, zip(*pieces))
        >>> attend_to_sums(scores[:, :, :2], sums, mass).shape
        torch.Size([1, 1, 2, 3])
    """
    means = sums / mass.clamp_min(MIN_ANCHOR_MASS).unsqueeze(-1)
    with no_autocast(scores):
        assign = at_least_float32(scores).softmax(dim=-1)
        return torch.matmul(assign, means.to(assign.dtype))
