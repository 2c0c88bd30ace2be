"""Anchor attention: global attention through M anchors, linear in the tokens.

Pure torch, no mm* import. Letters: B batch, N tokens, M anchors, D width of a
head's keys, Dv width of its values.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

# The total weight of an anchor is at least this much. The bound only keeps the
# division and its gradient finite in float32: an anchor this light contributes
# at most this share of a token's output.
MIN_ANCHOR_MASS = 1e-20
# No total weight gets here, since it is at most N. ncnn reads a clamp only if
# it has both bounds.
MAX_ANCHOR_MASS = 3e38


def anchor_assignment(keys: Tensor, anchors: Tensor, *, scale: float | None = None) -> Tensor:
    r"""Assign every token to the anchors, softly.

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
        under autocast, where rounded scores would make the softmax inexact.

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
    keys: Tensor,
    values: Tensor,
    anchors: Tensor,
    *,
    scale: float | None = None,
    bias: Tensor | None = None,
    links: Tensor | None = None,
) -> Tensor:
    r"""Attend to all tokens through the anchors, linear in the number of tokens.

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
        bias: Added to the scores of each anchor, (heads, M); ``None`` is 0.
        links: (heads, M, M), see :func:`linked_means`; ``None`` is the paper's
            form. With them the matrix is no longer symmetric.

    Returns:
        H, (B, heads, N, Dv), in the dtype of ``values``. It is computed in
        float32 (float64 for float64 input), also under autocast: half
        precision is too coarse for sums over all tokens. It is finite as long
        as the scores are finite in float32.

    Raises:
        ValueError: If a shape does not fit.

    Example:
        >>> k, v = torch.randn(2, 1, 3, 10, 8)
        >>> anchor_attention(k, v, torch.randn(4, 8)).shape
        torch.Size([1, 3, 10, 8])
    """
    check_shapes(keys, values, anchors)
    if is_autocast_on(keys):
        with no_autocast(keys):
            return _attend(keys, values, anchors, scale, bias, links)
    return _attend(keys, values, anchors, scale, bias, links)


def attention_from_scores(scores: Tensor, values: Tensor, links: Tensor | None = None) -> Tensor:
    r"""Anchor attention from given scores :math:`s \, w_j \cdot k_i`.

    The deploy form computes the scores by one folded projection, without keys
    (see :class:`mmanchor.models.layers.LearnedAnchorAttention`).

    Args:
        scores: (B, heads, N, M), any float dtype.
        values: V, (B, heads, N, Dv).
        links: (heads, M, M) or ``None``, as there.

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
        assign = at_least_float32(scores, values.dtype).softmax(dim=-1)  # (B, heads, N, M)
        return _through_anchors(assign, values, links)


def anchor_cross_attention(
    queries: Tensor, keys: Tensor, values: Tensor, anchors: Tensor, *, scale: float | None = None
) -> Tensor:
    r"""Let queries attend to other tokens through the anchors.

    .. math:: H = A_q \, \Delta^{-1} A_k^\top V, \quad
              \Delta = \mathrm{diag}(A_k^\top 1)

    AnchorFormer (arXiv 2505.16463) defines this only for queries that are the
    keys. Its derivation extends to other queries: query i chooses anchor j
    with probability :math:`p(j | i) = (A_q)_{ij}`; anchor j chooses key k by
    Bayes' rule with a uniform prior over the keys,
    :math:`p(k | j) = (A_k)_{kj} / \sum_{k'} (A_k)_{k'j}`. Summed over the
    anchors, :math:`p(k | i)` is the matrix above. Its rows sum to 1 for any
    number of queries; its columns need not. With ``queries = keys`` it is
    :func:`anchor_attention`.

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
    """:func:`anchor_cross_attention` from given scores.

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
        # A query may weight an anchor that no key has any weight on. A
        # Delta^-1 is the softmax over the keys of log A, which needs no bound
        # on Delta.
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


def linked_means(means: Tensor, mass: Tensor, links: Tensor) -> Tensor:
    r"""Let each anchor hand out a mixture of all anchors' means.

    .. math:: \bar v_j = \sum_l W_{jl} v_l, \quad
              W_{jl} = \mathrm{softmax}_l (T_{jl} + \log \Delta_l)

    Beyond AnchorFormer (arXiv 2505.16463). An anchor there gives back what it
    gathered, which makes the matrix of attention symmetric and positive
    semi-definite; that of softmax attention is neither. With links T, tokens
    of one anchor attend to those of another as softmax attention would
    attend from one center of a cluster to the tokens around another: with a
    weight for each token, so that an anchor without tokens has none. The rows
    of the matrix still sum to 1; the cost does not depend on the tokens.

    Args:
        means: v, what each anchor gathered, (B, heads, M, Dv).
        mass: Total weight of each anchor, bounded, (B, heads, M).
        links: T, (heads, M, M): row j is what anchor j takes.

    Returns:
        (B, heads, M, Dv).

    Example:
        >>> means = torch.tensor([0.0, 3.0]).view(1, 1, 2, 1)
        >>> mass = torch.tensor([[[2.0, 1.0]]])
        >>> linked_means(means, mass, torch.zeros(1, 2, 2)).flatten()
        tensor([1., 1.])
    """
    scores = links.to(means.dtype) + mass.to(means.dtype).log().unsqueeze(-2)
    return torch.matmul(scores.softmax(dim=-1), means)


def _attend(
    keys: Tensor,
    values: Tensor,
    anchors: Tensor,
    scale: float | None,
    bias: Tensor | None,
    links: Tensor | None,
) -> Tensor:
    """:func:`anchor_attention` without its checks, outside of autocast."""
    scores = _scores(keys, anchors, scale)
    if bias is not None:
        scores = scores + bias.unsqueeze(-2)
    assign = at_least_float32(scores, values.dtype).softmax(dim=-1)
    del scores  # their memory is needed no longer
    return _through_anchors(assign, values, links)


def _through_anchors(assign: Tensor, values: Tensor, links: Tensor | None) -> Tensor:
    """A Delta^-1 A^T V of Eq. 11, (B, heads, N, Dv), in the dtype of values."""
    wide = at_least_float32(values, assign.dtype)
    means = _anchor_means(assign, wide)
    if links is not None:
        means = linked_means(means, bounded_mass(assign.sum(dim=-2)), links)
    out = torch.matmul(assign, means)
    return out if out.dtype is values.dtype else out.to(values.dtype)


def _anchor_means(assign: Tensor, values: Tensor) -> Tensor:
    """Delta^-1 A^T V of Eq. 12, (B, heads, M, Dv)."""
    mass = bounded_mass(assign.sum(dim=-2))  # (B, heads, M)
    return torch.matmul(assign.transpose(-2, -1), values) / mass.unsqueeze(-1)


def bounded_mass(mass: Tensor) -> Tensor:
    """Total weights of anchors that can be divided by, in any shape."""
    return mass.clamp(MIN_ANCHOR_MASS, MAX_ANCHOR_MASS)


def _scores(keys: Tensor, anchors: Tensor, scale: float | None) -> Tensor:
    """s w_j . k_i of every token and anchor, (B, heads, N, M)."""
    scale = keys.shape[-1] ** -0.5 if scale is None else scale
    keys = at_least_float32(keys, anchors.dtype)
    # Scaling the few anchors is cheaper than scaling the many scores. The
    # anchors are expanded to a batch of matrices (without a copy), since
    # matmul would otherwise copy all keys to flatten their batch dimensions.
    scaled = (at_least_float32(anchors, keys.dtype) * scale).transpose(-2, -1)
    return torch.matmul(keys, scaled.expand(*keys.shape[:2], -1, -1))


def at_least_float32(x: Tensor, other: torch.dtype = torch.float32) -> Tensor:
    """``x`` in float64 if it or ``other`` is float64, else in float32."""
    if x.dtype is torch.float32 and other is torch.float32:
        return x  # the usual case; at 196 tokens each needless call is seen
    return x.to(torch.promote_types(torch.promote_types(x.dtype, other), torch.float32))


def is_autocast_on(x: Tensor) -> bool:
    """Whether products with ``x`` are taken in autocast's precision."""
    # There is no autocast for meta tensors, and torch refuses to be asked.
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)


def no_autocast(x: Tensor) -> AbstractContextManager:
    """Switch autocast off where it is on; exported graphs do not show it."""
    if is_autocast_on(x):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


def check_shapes(keys: Tensor, values: Tensor, anchors: Tensor) -> None:
    """Raise ``ValueError`` if these do not fit together."""
    _check_keys(keys, anchors)
    _check_values(keys, values)


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
