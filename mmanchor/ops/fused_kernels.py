"""Triton kernels of :mod:`.fused_attention`, and how they are started.

Every kernel goes through blocks of tokens of one head of one image. ``x`` is
keys if there are anchors, else scores. Widths are padded to powers of two of
at least 16, which the products of a GPU need; masks keep the padding out.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 64
# Programs that fill a GPU, about: tokens are split where heads are fewer.
_PROGRAMS = 512


@triton.jit
def _tile(pointer, stride, rows, columns, num_rows, num_columns):
    """A block (rows, columns) in float32, zero outside."""
    place = pointer + rows.to(tl.int64)[:, None] * stride + columns[None, :]
    inside = (rows[:, None] < num_rows) & (columns[None, :] < num_columns)
    return tl.load(place, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _put(pointer, stride, rows, columns, num_rows, num_columns, block):
    """Write a block (rows, columns)."""
    place = pointer + rows.to(tl.int64)[:, None] * stride + columns[None, :]
    inside = (rows[:, None] < num_rows) & (columns[None, :] < num_columns)
    tl.store(place, block.to(pointer.dtype.element_ty), mask=inside)


@triton.jit
def _shares(x, anchors, scale, rows, num_rows, columns, num_anchors, HAS_ANCHORS: tl.constexpr):
    """A of a block, (rows, anchors); zero outside."""
    scores = x
    if HAS_ANCHORS:
        scores = tl.dot(x, tl.trans(anchors), input_precision='ieee') * scale
    scores = tl.where(columns[None, :] < num_anchors, scores, float('-inf'))
    weights = tl.exp(scores - tl.max(scores, 1)[:, None])
    weights = weights / tl.sum(weights, 1)[:, None]
    return tl.where(rows[:, None] < num_rows, weights, 0.0)


@triton.jit
def _sum_up(
    x, values, anchors, sums, mass,
    x_b, x_h, x_n, v_b, v_h, v_n, w_b, w_h, w_m,
    scale, heads, num, num_anchors, width, v_width, splits,
    BLOCKS: tl.constexpr, BLOCK: tl.constexpr, M: tl.constexpr, D: tl.constexpr, DV: tl.constexpr,
    HAS_ANCHORS: tl.constexpr,
):  # fmt: skip
    """A^T V and A^T 1 of one share of the tokens."""
    image, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    b, h = image // heads, image % heads
    m, d, v = tl.arange(0, M), tl.arange(0, D), tl.arange(0, DV)
    w = tl.zeros((M, D), tl.float32)
    if HAS_ANCHORS:
        w = _tile(anchors + b * w_b + h * w_h, w_m, m, d, num_anchors, width)
    total = tl.zeros((M, DV), tl.float32)
    weight = tl.zeros((M,), tl.float32)
    for i in range(BLOCKS):
        rows = (part * BLOCKS + i) * BLOCK + tl.arange(0, BLOCK)
        tokens = _tile(x + b * x_b + h * x_h, x_n, rows, d, num, width)
        a = _shares(tokens, w, scale, rows, num, m, num_anchors, HAS_ANCHORS)
        value = _tile(values + b * v_b + h * v_h, v_n, rows, v, num, v_width)
        total += tl.dot(tl.trans(a), value, input_precision='ieee')
        weight += tl.sum(a, 0)
    place = image * splits + part
    _put(sums + place * num_anchors * v_width, v_width, m, v, num_anchors, v_width, total)
    tl.store(mass + place * num_anchors + m, weight, mask=m < num_anchors)


@triton.jit
def _spread(
    x, means, anchors, out,
    x_b, x_h, x_n, w_b, w_h, w_m,
    scale, heads, num, num_anchors, width, v_width,
    BLOCK: tl.constexpr, M: tl.constexpr, D: tl.constexpr, DV: tl.constexpr,
    HAS_ANCHORS: tl.constexpr,
):  # fmt: skip
    """A times the means, of one block of tokens."""
    image = tl.program_id(0).to(tl.int64)
    b, h = image // heads, image % heads
    m, d, v = tl.arange(0, M), tl.arange(0, D), tl.arange(0, DV)
    rows = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    w = tl.zeros((M, D), tl.float32)
    if HAS_ANCHORS:
        w = _tile(anchors + b * w_b + h * w_h, w_m, m, d, num_anchors, width)
    tokens = _tile(x + b * x_b + h * x_h, x_n, rows, d, num, width)
    a = _shares(tokens, w, scale, rows, num, m, num_anchors, HAS_ANCHORS)
    mean = _tile(means + image * num_anchors * v_width, v_width, m, v, num_anchors, v_width)
    block = tl.dot(a, mean, input_precision='ieee')
    _put(out + image * num * v_width, v_width, rows, v, num, v_width, block)


@triton.jit
def _gradients(
    x, values, grad, anchors, means, grad_sums, grad_mass, grad_x, grad_values, grad_anchors,
    x_b, x_h, x_n, v_b, v_h, v_n, g_b, g_h, g_n, w_b, w_h, w_m,
    scale, heads, num, num_anchors, width, v_width, splits,
    BLOCKS: tl.constexpr, BLOCK: tl.constexpr, M: tl.constexpr, D: tl.constexpr, DV: tl.constexpr,
    HAS_ANCHORS: tl.constexpr,
):  # fmt: skip
    """Gradients of one share of the tokens, and what they give to the anchors."""
    image, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    b, h = image // heads, image % heads
    m, d, v = tl.arange(0, M), tl.arange(0, D), tl.arange(0, DV)
    w = tl.zeros((M, D), tl.float32)
    if HAS_ANCHORS:
        w = _tile(anchors + b * w_b + h * w_h, w_m, m, d, num_anchors, width)
    place = image * num_anchors * v_width
    mean = _tile(means + place, v_width, m, v, num_anchors, v_width)
    grad_sum = _tile(grad_sums + place, v_width, m, v, num_anchors, v_width)
    of_mass = tl.load(grad_mass + image * num_anchors + m, mask=m < num_anchors, other=0.0)
    total = tl.zeros((M, D), tl.float32)
    for i in range(BLOCKS):
        rows = (part * BLOCKS + i) * BLOCK + tl.arange(0, BLOCK)
        tokens = _tile(x + b * x_b + h * x_h, x_n, rows, d, num, width)
        a = _shares(tokens, w, scale, rows, num, m, num_anchors, HAS_ANCHORS)
        value = _tile(values + b * v_b + h * v_h, v_n, rows, v, num, v_width)
        g = _tile(grad + b * g_b + h * g_h, g_n, rows, v, num, v_width)
        of_value = tl.dot(a, grad_sum, input_precision='ieee')
        _put(grad_values + image * num * v_width, v_width, rows, v, num, v_width, of_value)
        of_a = tl.dot(g, tl.trans(mean), input_precision='ieee')
        of_a += tl.dot(value, tl.trans(grad_sum), input_precision='ieee') + of_mass[None, :]
        of_scores = a * (of_a - tl.sum(a * of_a, 1)[:, None])
        if HAS_ANCHORS:
            of_x = tl.dot(of_scores, w, input_precision='ieee') * scale
            total += tl.dot(tl.trans(of_scores), tokens, input_precision='ieee') * scale
        else:
            of_x = of_scores
        _put(grad_x + image * num * width, width, rows, d, num, width, of_x)
    if HAS_ANCHORS:
        place = (image * splits + part) * num_anchors * width
        _put(grad_anchors + place, width, m, d, num_anchors, width, total)


def sum_up(
    x: Tensor, values: Tensor, anchors: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """A^T V, (B, heads, M, Dv), and A^T 1, (B, heads, M), in float32."""
    sizes = _Sizes(x, values.shape[-1], anchors)
    x, values, anchors = _rows(x), _rows(values), anchors if anchors is None else _rows(anchors)
    sums = x.new_empty((*x.shape[:2], sizes.splits, sizes.anchors, sizes.v_width), dtype=sizes.wide)
    mass = sums.new_empty(sums.shape[:-1])
    _sum_up[sizes.images, sizes.splits](
        x, values, anchors, sums, mass,
        *_strides(x), *_strides(values), *_strides(anchors),
        scale, *sizes.numbers, sizes.splits, BLOCKS=sizes.blocks, **sizes.constants,
    )  # fmt: skip
    return sums.sum(2), mass.sum(2)


def spread(
    x: Tensor, means: Tensor, anchors: Tensor | None, scale: float, dtype: torch.dtype
) -> Tensor:
    """A times the means, (B, heads, N, Dv)."""
    sizes = _Sizes(x, means.shape[-1], anchors)
    x, anchors = _rows(x), anchors if anchors is None else _rows(anchors)
    out = x.new_empty((*x.shape[:3], sizes.v_width), dtype=dtype)
    _spread[sizes.images, sizes.all_blocks](
        x, means.contiguous(), anchors, out, *_strides(x), *_strides(anchors),
        scale, *sizes.numbers, **sizes.constants,
    )  # fmt: skip
    return out


def gradients(
    x: Tensor,
    values: Tensor,
    grad: Tensor,
    anchors: Tensor | None,
    means: Tensor,
    grad_sums: Tensor,
    grad_mass: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, of the values and of the anchors, (B, heads, M, D); empty without."""
    sizes = _Sizes(x, values.shape[-1], anchors)
    x, values, grad = _rows(x), _rows(values), _rows(grad)
    anchors = anchors if anchors is None else _rows(anchors)
    grad_x, grad_values = x.new_empty(x.shape), values.new_empty(values.shape)
    shape = (*x.shape[:2], sizes.splits, sizes.anchors, sizes.width) if sizes.has_anchors else (0,)
    grad_anchors = x.new_empty(shape, dtype=sizes.wide if sizes.has_anchors else x.dtype)
    _gradients[sizes.images, sizes.splits](
        x, values, grad, anchors, means.contiguous(), grad_sums.contiguous(),
        grad_mass.contiguous(), grad_x, grad_values, grad_anchors,
        *_strides(x), *_strides(values), *_strides(grad), *_strides(anchors),
        scale, *sizes.numbers, sizes.splits, BLOCKS=sizes.blocks, **sizes.constants,
    )  # fmt: skip
    return grad_x, grad_values, grad_anchors.sum(2) if sizes.has_anchors else grad_anchors


class _Sizes:
    """What a kernel is told of its inputs."""

    wide = torch.float32

    def __init__(self, x: Tensor, v_width: int, anchors: Tensor | None) -> None:
        batch, heads, num, width = x.shape
        self.has_anchors = anchors is not None
        self.anchors = width if anchors is None else anchors.shape[-2]
        self.width, self.v_width = width, v_width
        self.images = batch * heads
        self.all_blocks = triton.cdiv(num, _BLOCK)
        self.splits = min(self.all_blocks, max(1, _PROGRAMS // self.images))
        self.blocks = triton.cdiv(self.all_blocks, self.splits)
        self.numbers = (heads, num, self.anchors, width, v_width)
        padded = max(16, triton.next_power_of_2(self.anchors))
        self.constants = dict(
            BLOCK=_BLOCK,
            M=padded,
            D=max(16, triton.next_power_of_2(width)) if self.has_anchors else padded,
            DV=max(16, triton.next_power_of_2(v_width)),
            HAS_ANCHORS=self.has_anchors,
        )


def _rows(x: Tensor) -> Tensor:
    """A tensor whose last axis has the stride 1."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _strides(x: Tensor | None) -> tuple[int, ...]:
    return (0, 0, 0) if x is None else x.stride()[:3]
