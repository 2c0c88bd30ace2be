r"""Anchor attention in two passes over the tokens, by Triton; A is never written.

The first pass adds up :math:`A^\top V` and :math:`A^\top 1`, the second
spreads the means over the tokens, and both compute the shares A of a block of
tokens where they need them. It is the same equation as
:func:`~.anchor_attention.anchor_attention`, which is the reference and the
fallback. It has not been measured on a GPU, so nothing uses it by default.
"""

from functools import cache
from importlib.util import find_spec
from os import environ
from types import ModuleType

import torch
from torch import Tensor

from .anchor_attention import (
    MIN_ANCHOR_MASS,
    anchor_attention,
    attention_from_scores,
    bounded_mass,
    check_shapes,
)

# The widest that the kernels hold in registers.
MAX_ANCHORS = MAX_WIDTH = 128
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def fused_anchor_attention(
    keys: Tensor, values: Tensor, anchors: Tensor, *, scale: float | None = None
) -> Tensor:
    """:func:`~.anchor_attention.anchor_attention` by Triton where it can.

    Args:
        keys: k, (B, heads, N, D), float32, bfloat16 or float16.
        values: V, (B, heads, N, Dv).
        anchors: w, (M, D), (heads, M, D) or (B, heads, M, D).
        scale: The factor on the scores; ``None`` takes 1 / sqrt(D).

    Returns:
        H, (B, heads, N, Dv), in the dtype of ``values``; sums and softmax are
        in float32. On a CPU (unless ``TRITON_INTERPRET=1``), in float64, and
        for more than 128 anchors or channels it is ``anchor_attention``.

    Raises:
        ValueError: If a shape does not fit.

    Example:
        >>> k, v = torch.randn(2, 1, 3, 10, 8)
        >>> fused_anchor_attention(k, v, torch.randn(4, 8)).shape
        torch.Size([1, 3, 10, 8])
    """
    check_shapes(keys, values, anchors)
    if not can_fuse(keys, values, anchors.shape[-2], keys.shape[-1], anchors):
        return anchor_attention(keys, values, anchors, scale=scale)
    scale = keys.shape[-1] ** -0.5 if scale is None else scale
    return torch.ops.mmanchor.fused_attention(keys, values, anchors, scale)[0]


def fused_attention_from_scores(scores: Tensor, values: Tensor) -> Tensor:
    """:func:`~.anchor_attention.attention_from_scores` by Triton where it can.

    Args:
        scores: (B, heads, N, M), float32, bfloat16 or float16.
        values: V, (B, heads, N, Dv).

    Returns:
        As :func:`fused_anchor_attention`.
    """
    if not can_fuse(scores, values, scores.shape[-1], 1):
        return attention_from_scores(scores, values)
    return torch.ops.mmanchor.fused_attention(scores, values, None, 1.0)[0]


def can_fuse(x: Tensor, values: Tensor, anchors: int, width: int, *more: Tensor) -> bool:
    """Whether the kernels take these inputs, on this machine."""
    # Looking for a package is slow, and this is called for every attention.
    return (
        (x.is_cuda or environ.get('TRITON_INTERPRET') == '1')
        and _has_triton()
        and all(each.dtype in _DTYPES and each.device == x.device for each in (x, values, *more))
        and anchors <= MAX_ANCHORS
        and max(width, values.shape[-1]) <= MAX_WIDTH
        and values.numel() > 0
    )


@cache
def _has_triton() -> bool:
    return find_spec('triton') is not None


def _kernels() -> ModuleType:
    from . import fused_kernels

    return fused_kernels


@torch.library.custom_op('mmanchor::fused_attention', mutates_args=())
def _forward(
    x: Tensor, values: Tensor, anchors: Tensor | None, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, means (B, heads, M, Dv) and masses (B, heads, M) of the anchors."""
    kernels = _kernels()
    wide = _expanded(x, anchors)
    sums, mass = kernels.sum_up(x, values, wide, scale)
    means = sums / bounded_mass(mass).unsqueeze(-1)
    return kernels.spread(x, means, wide, scale, values.dtype), means, mass


@_forward.register_fake
def _(x, values, anchors, scale):
    num = x.shape[-1] if anchors is None else anchors.shape[-2]
    out = values.new_empty(values.shape)
    means = values.new_empty((*x.shape[:2], num, values.shape[-1]), dtype=torch.float32)
    return out, means, means.new_empty(means.shape[:-1])


@torch.library.custom_op('mmanchor::fused_attention_backward', mutates_args=())
def _backward(
    grad: Tensor,
    x: Tensor,
    values: Tensor,
    anchors: Tensor | None,
    means: Tensor,
    mass: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Gradients of x, values and anchors (empty without anchors).

    With G the gradient of the outputs and M the means: the sums get
    :math:`\Delta^{-1} A^\top G`, the masses minus its product with M, and
    A gets :math:`G M^\top` plus what both give it.
    """
    kernels = _kernels()
    wide = _expanded(x, anchors)
    grad_means, _ = kernels.sum_up(x, grad, wide, scale)
    grad_sums = grad_means / bounded_mass(mass).unsqueeze(-1)
    # Where the mass is bounded, it has no gradient.
    grad_mass = -(grad_sums * means).sum(-1) * (mass >= MIN_ANCHOR_MASS)
    grad_x, grad_values, grad_wide = kernels.gradients(
        x, values, grad, wide, means, grad_sums, grad_mass, scale
    )
    if anchors is None:
        return grad_x, grad_values, grad_wide
    return grad_x, grad_values, grad_wide.sum_to_size(anchors.shape).to(anchors.dtype)


@_backward.register_fake
def _(grad, x, values, anchors, means, mass, scale):
    shape = (0,) if anchors is None else anchors.shape
    dtype = x.dtype if anchors is None else anchors.dtype
    return (x.new_empty(x.shape), values.new_empty(values.shape), x.new_empty(shape, dtype=dtype))


def _remember(ctx, inputs, output) -> None:
    x, values, anchors, ctx.scale = inputs
    _, means, mass = output
    ctx.mark_non_differentiable(means, mass)
    ctx.save_for_backward(x, values, anchors, means, mass)


def _differentiate(ctx, grad, *_):
    x, values, anchors, means, mass = ctx.saved_tensors
    out = torch.ops.mmanchor.fused_attention_backward(
        grad, x, values, anchors, means, mass, ctx.scale
    )
    return out[0], out[1], None if anchors is None else out[2], None


_forward.register_autograd(_differentiate, setup_context=_remember)


def _expanded(x: Tensor, anchors: Tensor | None) -> Tensor | None:
    """Anchors as (B, heads, M, D), without a copy."""
    if anchors is None:
        return None
    return anchors.expand(*x.shape[:2], *anchors.shape[-2:])
