"""Sparsifiner's attention: softmax attention over predicted pairs of tokens.

Pure torch, no mm* import. Letters: B batch, R rows (queries), N tokens (keys),
D width of a head, c its reduced width, K number of basis vectors, L number of
tokens that a row keeps.
"""

import math
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .anchor_attention import at_least_float32, no_autocast


def basis_coefficients(queries: Tensor, keys: Tensor, compress: Tensor, scale: float) -> Tensor:
    r"""Coefficients of the basis vectors in the attention of each row.

    .. math:: C = \mathrm{softmax}_K (s \, Q' (K'^\top P))

    Low-rank attention of Sparsifiner (arXiv 2303.13755): P compresses the
    tokens to K.

    Args:
        queries: Q', (B, heads, R, c).
        keys: K', (B, heads, N, c).
        compress: P, (N, K), or (B, 1, N, K) where each image has its own.
        scale: s, the factor on the scores.

    Returns:
        C, (B, heads, R, K), in float32 (float64 for float64 input).
    """
    with no_autocast(keys):
        keys = at_least_float32(keys, compress.dtype)
        compressed = keys.transpose(-2, -1) @ compress.to(keys.dtype)
        scores = queries.to(keys.dtype) @ compressed * scale
        return scores.softmax(dim=-1)


def low_rank_attention(coefficients: Tensor, basis: Tensor) -> Tensor:
    r"""Low-rank attention from its coefficients, for the training loss.

    .. math:: A' = C P_\mathrm{back}^\top

    Args:
        coefficients: C of :func:`basis_coefficients`.
        basis: P_back, (N, K), or (B, 1, N, K) where each image has its own.

    Returns:
        A', (B, heads, R, N), in the dtype of ``coefficients``.
    """
    with no_autocast(coefficients):
        return coefficients @ basis.to(coefficients.dtype).transpose(-2, -1)


@torch.no_grad()
def connectivity_scores(
    coefficients: Tensor, basis: Tensor, num_coefficients: int, threshold: float
) -> Tensor:
    r"""Connectivity scores, by which each row ranks the tokens.

    .. math:: S = \mathrm{top}_n(C) \, B^\top, \quad
              B = |P_\mathrm{back}| \; [\, |P_\mathrm{back}| > t \,]

    It follows the released code and has no gradient. The product includes
    the coefficients that are 0: adding up n rows of B for each row, which
    takes only n N multiply-adds, is two to seven times slower on a CPU, and
    torch exports it to ONNX as a loop over all rows.

    Args:
        coefficients: C of :func:`basis_coefficients`.
        basis: P_back, (N, K), or (B, 1, N, K) where each image has its own.
        num_coefficients: n, how many of a row's coefficients are used, the
            largest ones.
        threshold: t; entries of the basis up to this value count as 0.

    Returns:
        S, (B, heads, R, N), in the dtype of ``coefficients``.
    """
    weights, index = coefficients.topk(min(num_coefficients, coefficients.shape[-1]), sorted=False)
    kept = torch.zeros_like(coefficients).scatter_(-1, index, weights)
    strong = F.threshold(basis.to(weights.dtype).abs(), threshold, 0.0)
    with no_autocast(coefficients):
        return kept @ strong.transpose(-2, -1)


def strongest_pairs(scores: Tensor, budget: int) -> Tensor:
    """Select the ``budget`` strongest tokens of each row.

    Many scores are exactly 0. Among equal scores torch chooses, as in the
    released code.

    Args:
        scores: (B, heads, R, N).
        budget: L, 1 to N.

    Returns:
        Indices of tokens, (B, heads, R, L), int64, not sorted.

    Raises:
        ValueError: If ``budget`` is out of its range.

    Example:
        >>> strongest_pairs(torch.tensor([[[[0.1, 0.3, 0.2]]]]), 1).item()
        1
    """
    if not 1 <= budget <= scores.shape[-1]:
        raise ValueError(f'budget must be 1 to N={scores.shape[-1]}, got {budget}')
    return torch.topk(scores, budget, sorted=False)[1]


def pairs_to_mask(indices: Tensor, num_tokens: int) -> Tensor:
    """Turn indices of kept tokens into a mask.

    Args:
        indices: (B, heads, R, L).
        num_tokens: N.

    Returns:
        (B, heads, R, N), bool, True where a pair is kept.

    Example:
        >>> pairs_to_mask(torch.tensor([[[[2, 0]]]]), 3).flatten().tolist()
        [True, False, True]
    """
    mask = torch.zeros((*indices.shape[:-1], num_tokens), dtype=torch.bool, device=indices.device)
    return mask.scatter_(-1, indices, 1)  # tracing does not support bool here


def masked_attention(queries: Tensor, keys: Tensor, values: Tensor, indices: Tensor) -> Tensor:
    r"""Softmax attention over the kept pairs, by masking the others.

    .. math:: H_i = \sum_{j \in I_i} V_j \exp(q_i \cdot k_j / \sqrt D) \,/
              \sum_{j \in I_i} \exp(q_i \cdot k_j / \sqrt D)

    All R N pairs are computed, however few are kept.

    Args:
        queries: q, (B, heads, R, D).
        keys: k, (B, heads, N, D).
        values: V, (B, heads, N, D).
        indices: I, (B, heads, R, L), the kept tokens of each row.

    Returns:
        H, (B, heads, R, D).
    """
    mask = pairs_to_mask(indices, keys.shape[-2])
    return F.scaled_dot_product_attention(queries, keys, values, mask)


def gathered_attention(queries: Tensor, keys: Tensor, values: Tensor, indices: Tensor) -> Tensor:
    """:func:`masked_attention` that computes only the kept pairs.

    Keys and values are read in place: an (R, L, D) copy of them would take
    longer than the pairs that it saves.

    Args:
        queries, keys, values, indices: As in :func:`masked_attention`.

    Returns:
        H, (B, heads, R, D), in the dtype of ``values``; computed in float32
        (float64 for float64 input).
    """
    batch, heads, num_rows, _ = queries.shape
    num_tokens = keys.shape[-2]
    with no_autocast(keys):
        wide = at_least_float32(values, keys.dtype)
        first = torch.arange(batch * heads, device=keys.device) * num_tokens
        index = indices + first.view(batch, heads, 1, 1)
        index = index.reshape(batch * heads * num_rows, -1)  # (B h R, L)
        scores = _PairScores.apply(
            queries.to(wide.dtype).flatten(0, 2), keys.to(wide.dtype).flatten(0, 2), index
        )
        out = F.embedding_bag(
            index, wide.flatten(0, 2), per_sample_weights=scores.softmax(dim=-1), mode='sum'
        )  # (B h R, D)
        return out.view(batch, heads, num_rows, -1).to(values.dtype)


def dense_attention(
    queries: Tensor, keys: Tensor, values: Tensor, num_absent: int = 0
) -> tuple[Tensor, Tensor]:
    r"""Softmax attention over all pairs, for the extra tokens.

    Args:
        queries: q, (B, heads, R, D).
        keys: k, (B, heads, N, D).
        values: V, (B, heads, N, D).
        num_absent: Number of pruned tokens. The released code keeps them in
            the softmax as zero keys and zero values, with a weight of exp(0)
            each.

    Returns:
        Mixed values, (B, heads, R, D), and the weights, (B, heads, R, N).
    """
    scores = queries @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5
    if num_absent:
        scores = F.pad(scores, (0, 1), value=math.log(num_absent))
    weights = scores.softmax(dim=-1)[..., : keys.shape[-2]].to(values.dtype)
    return weights @ values, weights


def reconstruction_loss(queries: Tensor, keys: Tensor, approximation: Tensor) -> Tensor:
    r"""Squared error of low-rank attention against full attention.

    .. math:: \frac{1}{B h R} \sum_i \lVert A'_i -
              \mathrm{softmax}(q_i K^\top / \sqrt D) \rVert^2

    The released code sums over images, heads and rows instead. For Adam this
    makes no difference, since only this loss trains the predictor.

    Args:
        queries: q of the rows, (B, heads, R, D); without a gradient.
        keys: k, (B, heads, N, D); without a gradient.
        approximation: A', (B, heads, R, N).

    Returns:
        The loss, a scalar, in the dtype of ``approximation``.
    """
    with torch.no_grad(), no_autocast(keys):
        wide = at_least_float32(keys)
        scores = queries.to(wide.dtype) @ wide.transpose(-2, -1)
        target = (scores * queries.shape[-1] ** -0.5).softmax(dim=-1)
    return (approximation - target).square().sum(dim=-1).mean()


class _PairScores(torch.autograd.Function):
    """q_i . k_j / sqrt(D) of the kept pairs: (R, D), (N, D) -> (R, L)."""

    @staticmethod
    def forward(ctx, queries: Tensor, keys: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(queries, keys, index)
        rows, kept = index.shape
        starts = torch.arange(0, rows * kept + 1, kept, device=index.device)
        with warnings.catch_warnings():
            # torch warns that CSR is in beta and that it does not check the
            # indices. The columns of a row may be in any order here.
            warnings.filterwarnings('ignore', message='Sparse ')
            pattern = torch.sparse_csr_tensor(
                starts,
                index.flatten(),
                queries.new_zeros(rows * kept),
                size=(rows, len(keys)),
                check_invariants=False,
            )
            scores = torch.sparse.sampled_addmm(
                pattern, queries, keys.t(), beta=0.0, alpha=queries.shape[1] ** -0.5
            )
        return scores.values().view(rows, kept)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        queries, keys, index = ctx.saved_tensors
        grad = (grad * queries.shape[1] ** -0.5).contiguous()
        with torch.enable_grad():
            keys = keys.detach().requires_grad_()
            # sum_j g_ij k_j; its gradient for k, given q, is the gradient of
            # the keys: sum_i g_ij q_i.
            for_queries = F.embedding_bag(index, keys, per_sample_weights=grad, mode='sum')
        (for_keys,) = torch.autograd.grad(for_queries, keys, queries)
        return for_queries.detach(), for_keys, None
