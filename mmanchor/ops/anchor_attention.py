"""Anchor attention: softmax attention's place taken by M anchors.

Pure torch, no mm* import. Letters: B batch, N tokens, M anchors, D width of a
head's keys, Dv width of its values.
"""

from contextlib import nullcontext
from typing import ContextManager

import torch
from torch import Tensor

# Below this total weight an anchor counts as unused. It only has to keep the
# division and its gradient finite in float32: an anchor this light gives a
# token at most this share of its output.
MIN_ANCHOR_MASS = 1e-20


def anchor_assignment(keys: Tensor, anchors: Tensor, *, scale: float | None = None) -> Tensor:
    r"""Share every token out among the anchors.

    .. math:: A_{ij} = \mathrm{softmax}_j (s \, w_j \cdot k_i)

    Eq. 4 and 13 of AnchorFormer (arXiv 2505.16463). The softmax runs over the
    anchors, so the weights of each token sum to 1.

    Args:
        keys: k, (B, heads, N, D), any float dtype.
        anchors: w, (M, D) shared by the heads, (heads, M, D), or
            (B, heads, M, D) where each image has its own.
        scale: s, the factor on the scores; ``None`` takes 1 / sqrt(D).

    Returns:
        A, (B, heads, N, M), in float32 (float64 for float64 input), also
        under autocast: the softmax of rounded scores is not good enough.

    Raises:
        ValueError: If a shape does not fit.

    Example:
        >>> keys = torch.zeros(1, 2, 5, 8)
        >>> anchor_assignment(keys, torch.randn(4, 8))[0, 0, 0]
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    _check_keys(keys, anchors)
    with no_autocast(keys):
        return _scores(keys, anchors, scale).softmax(dim=-1)


def anchor_attention(
    keys: Tensor, values: Tensor, anchors: Tensor, *, scale: float | None = None
) -> Tensor:
    r"""Attend to all tokens through the anchors, linear in their number.

    .. math:: H = A \, \Delta^{-1} A^\top V, \quad
              \Delta = \mathrm{diag}(A^\top 1)

    Eq. 11 and 12 of AnchorFormer (arXiv 2505.16463), multiplied from the
    right: 3 N M D multiply-adds and N M numbers of memory a head; the N x N
    matrix never exists. That matrix is symmetric, positive semi-definite and
    doubly stochastic, and its rank is at most M.

    Args:
        keys: k, (B, heads, N, D), any float dtype.
        values: V, (B, heads, N, Dv).
        anchors: w, (M, D) shared by the heads, (heads, M, D), or
            (B, heads, M, D) where each image has its own.
        scale: s, the factor on the scores; ``None`` takes 1 / sqrt(D).

    Returns:
        H, (B, heads, N, Dv), in the dtype of ``values``. It is computed in
        float32 (float64 for float64 input), also under autocast: sums over
        all tokens do not fit half precision. It is finite as long as the
        scores themselves fit float32.

    Raises:
        ValueError: If a shape does not fit.

    Example:
        >>> k, v = torch.randn(2, 1, 3, 10, 8)
        >>> anchor_attention(k, v, torch.randn(4, 8)).shape
        torch.Size([1, 3, 10, 8])
    """
    _check_keys(keys, anchors)
    _check_values(keys, values)
    with no_autocast(keys):
        wide = at_least_float32(values, torch.promote_types(keys.dtype, anchors.dtype))
        # No name for the scores: their memory is free once they are shares.
        assign = _scores(keys, anchors, scale).to(wide.dtype).softmax(dim=-1)
        return _through_anchors(assign, wide).to(values.dtype)


def attention_from_scores(scores: Tensor, values: Tensor) -> Tensor:
    r"""Anchor attention whose scores :math:`s \, w_j \cdot k_i` are known.

    The deploy form computes the scores by one folded projection, without keys
    (see :class:`mmanchor.models.layers.LearnedAnchorAttention`).

    Args:
        scores: (B, heads, N, M), any float dtype.
        values: V, (B, heads, N, Dv).

    Returns:
        H of :func:`anchor_attention`, (B, heads, N, Dv), in the dtype of
        ``values``.

    Example:
        >>> attention_from_scores(
        ...     torch.zeros(1, 1, 4, 2), torch.arange(4.0).view(1, 1, 4, 1)
        ... ).flatten()
        tensor([1.5000, 1.5000, 1.5000, 1.5000])
    """
    with no_autocast(scores):
        wide = at_least_float32(values, scores.dtype)
        assign = scores.to(wide.dtype).softmax(dim=-1)  # (B, heads, N, M)
        return _through_anchors(assign, wide).to(values.dtype)


def anchor_cross_attention(
    queries: Tensor, keys: Tensor, values: Tensor, anchors: Tensor, *, scale: float | None = None
) -> Tensor:
    r"""Let some tokens attend to others through the anchors.

    .. math:: H = A_q \, \Delta^{-1} A_k^\top V, \quad
              \Delta = \mathrm{diag}(A_k^\top 1)

    AnchorFormer (arXiv 2505.16463) has this only for queries that are the
    keys. Its two steps tell the rest: a query i chooses an anchor by
    :math:`p(j | i) = (A_q)_{ij}`; the anchor chooses a key k by Bayes' rule
    with all keys equally likely before,
    :math:`p(k | j) = (A_k)_{kj} / \sum_{k'} (A_k)_{k'j}`. Summed over the
    anchors, :math:`p(k | i)` is the matrix above. Its rows sum to 1, since
    both steps are distributions, whatever the number of queries; its columns
    do not, since nothing makes the queries visit every key. With
    ``queries = keys`` it is :func:`anchor_attention`.

    Args:
        queries: q, (B, heads, Nq, D), any float dtype.
        keys: k, (B, heads, N, D).
        values: V, (B, heads, N, Dv).
        anchors: w, (M, D) shared by the heads, (heads, M, D), or
            (B, heads, M, D); queries and keys share them.
        scale: s, the factor on the scores; ``None`` takes 1 / sqrt(D).

    Returns:
        H, (B, heads, Nq, Dv), in the dtype of ``values``, computed in float32
        (float64 for float64 input), also under autocast.

    Raises:
        ValueError: If a shape does not fit.

    Example:
        >>> q, k = torch.randn(1, 3, 4, 8), torch.randn(1, 3, 10, 8)
        >>> v, anchors = torch.randn(1, 3, 10, 16), torch.randn(5, 8)
        >>> anchor_cross_attention(q, k, v, anchors).shape
        torch.Size([1, 3, 4, 16])
    """
    _check_keys(keys, anchors)
    _check_values(keys, values)
    if queries.dim() != 4 or any(queries.shape[i] != keys.shape[i] for i in (0, 1, 3)):
        raise ValueError(
            'queries must be (B, heads, Nq, D) with the B, heads and D of '
            f'keys {tuple(keys.shape)}, got {tuple(queries.shape)}'
        )
    with no_autocast(keys):
        return cross_attention_from_scores(
            _scores(queries, anchors, scale), _scores(keys, anchors, scale), values
        )


def cross_attention_from_scores(query_scores: Tensor, key_scores: Tensor, values: Tensor) -> Tensor:
    """:func:`anchor_cross_attention` whose scores are known.

    Args:
        query_scores: (B, heads, Nq, M), any float dtype.
        key_scores: (B, heads, N, M).
        values: V, (B, heads, N, Dv).

    Returns:
        H, (B, heads, Nq, Dv), in the dtype of ``values``.

    Example:
        >>> cross_attention_from_scores(
        ...     torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 4, 2), torch.arange(4.0).view(1, 1, 4, 1)
        ... ).flatten()
        tensor([1.5000])
    """
    with no_autocast(key_scores):
        wide = at_least_float32(values, torch.promote_types(query_scores.dtype, key_scores.dtype))
        assign = query_scores.to(wide.dtype).softmax(dim=-1)
        # A query may want an anchor that every key shuns. A Delta^-1 is the
        # softmax over the keys of log A, which needs no bound on Delta.
        shares = key_scores.to(wide.dtype).log_softmax(dim=-1).softmax(dim=-2)
        means = torch.matmul(shares.transpose(-2, -1), wide)
        return torch.matmul(assign, means).to(values.dtype)


def refine_anchors(keys: Tensor, anchors: Tensor, *, scale: float | None = None) -> Tensor:
    r"""Move anchors to the means of the keys that are assigned to them.

    .. math:: u_j = \sum_i A_{ij} k_i / \sum_i A_{ij}

    One step of soft k-means towards the fixed point of Eq. 5 of AnchorFormer
    (arXiv 2505.16463), with A of :func:`anchor_assignment`.

    Args:
        keys: k, (B, heads, N, D), any float dtype.
        anchors: u, (M, D), (heads, M, D) or (B, heads, M, D).
        scale: The factor on the scores; ``None`` takes 1 / sqrt(D).

    Returns:
        The moved anchors, (B, heads, M, D), in float32 (float64 for float64
        input).

    Example:
        >>> keys = torch.tensor([[0.0, 2.0], [2.0, 0.0]]).view(1, 1, 2, 2)
        >>> refine_anchors(keys, torch.zeros(1, 2)).flatten()
        tensor([1., 1.])
    """
    assign = anchor_assignment(keys, anchors, scale=scale)
    with no_autocast(keys):
        return _anchor_means(assign, keys.to(assign.dtype))


def _through_anchors(assign: Tensor, values: Tensor) -> Tensor:
    """A Delta^-1 A^T V of Eq. 11, (B, heads, N, Dv)."""
    return torch.matmul(assign, _anchor_means(assign, values))


def _anchor_means(assign: Tensor, values: Tensor) -> Tensor:
    """Delta^-1 A^T V of Eq. 12, (B, heads, M, Dv)."""
    mass = assign.sum(dim=-2).clamp_min(MIN_ANCHOR_MASS)  # (B, heads, M)
    return torch.matmul(assign.transpose(-2, -1), values) / mass.unsqueeze(-1)


def _scores(keys: Tensor, anchors: Tensor, scale: float | None) -> Tensor:
    """s w_j . k_i of every token and anchor, (B, heads, N, M)."""
    scale = keys.shape[-1] ** -0.5 if scale is None else scale
    keys = at_least_float32(keys, anchors.dtype)
    # The scale goes onto the few anchors, not onto the many scores; the
    # anchors become a batch of matrices (no copy), since matmul would
    # otherwise copy all keys to flatten their batch dimensions.
    scaled = (at_least_float32(anchors, keys.dtype) * scale).transpose(-2, -1)
    return torch.matmul(keys, scaled.expand(*keys.shape[:2], -1, -1))


def at_least_float32(x: Tensor, other: torch.dtype = torch.float32) -> Tensor:
    """``x`` in float64 if it or ``other`` is float64, else in float32."""
    return x.to(torch.promote_types(torch.promote_types(x.dtype, other), torch.float32))


def is_autocast_on(x: Tensor) -> bool:
    """Whether products with ``x`` are taken in autocast's precision."""
    # Meta tensors know no autocast, and torch refuses even to ask.
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)


def no_autocast(x: Tensor) -> ContextManager:
    """Switch autocast off where it is on; exported graphs stay plain."""
    if is_autocast_on(x):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


def _check_keys(keys: Tensor, anchors: Tensor) -> None:
    if keys.dim() != 4:
        raise ValueError(f'keys must be (B, heads, N, D), got shape {tuple(keys.shape)}')
    batch, heads, _, width = keys.shape
    fits = 2 <= anchors.dim() <= 4 and anchors.shape[-2] >= 1 and (anchors.shape[-1] == width)
    if not fits or anchors.shape[:-2] != (batch, heads)[4 - anchors.dim() :]:
        raise ValueError(
            f'anchors must be (M, {width}), ({heads}, M, {width}) or '
            f'({batch}, {heads}, M, {width}) with M >= 1 to fit keys '
            f'{tuple(keys.shape)}, got shape {tuple(anchors.shape)}'
        )


def _check_values(keys: Tensor, values: Tensor) -> None:
    if values.dim() != 4 or values.shape[:3] != keys.shape[:3]:
        raise ValueError(
            'values must be (B, heads, N, Dv) with the B, heads and N of keys '
            f'{tuple(keys.shape)}, got {tuple(values.shape)}'
        )
