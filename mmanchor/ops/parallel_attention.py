r"""Anchor attention over the tokens of several processes.

All that joins the tokens are the sums :math:`A^\top V` and :math:`A^\top 1`:
M (Dv + 1) numbers a head, whatever the number of tokens.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .anchor_attention import anchor_assignment, at_least_float32, bounded_mass, no_autocast


def parallel_anchor_attention(
    keys: Tensor, values: Tensor, anchors: Tensor, *, scale: float | None = None, group: Any = None
) -> Tensor:
    """:func:`~.anchor_attention.anchor_attention` with some tokens on each process.

    Gradients of keys and values are those of one process with all tokens, if
    the loss is the sum of the losses of the processes. The gradient of the
    anchors is a summand: as of all parameters, the sum over the processes is
    that of one process.

    Args:
        keys: k of the process's own tokens, (B, heads, n, D); n may differ.
        values: V of its own tokens, (B, heads, n, Dv).
        anchors: w, (M, D), (heads, M, D) or (B, heads, M, D), the same on all.
        scale: The factor on the scores; ``None`` takes 1 / sqrt(D).
        group: Group of ``torch.distributed``; ``None`` takes all processes.

    Returns:
        H of the process's own tokens, (B, heads, n, Dv). Forward and backward
        each reduce B heads M (Dv + 1) numbers in float32 (float64 for float64
        input).
    """
    assign = anchor_assignment(keys, anchors, scale=scale)
    with no_autocast(keys):
        wide = at_least_float32(values, assign.dtype)
        sums = torch.matmul(assign.transpose(-2, -1), wide)
        mass = assign.sum(dim=-2).unsqueeze(-1)
        total = _SumOverProcesses.apply(torch.cat((sums, mass), dim=-1), group)
        sums, mass = total.split((values.shape[-1], 1), dim=-1)
        return torch.matmul(assign, sums / bounded_mass(mass)).to(values.dtype)


class _SumOverProcesses(torch.autograd.Function):
    """The sum over processes, whose gradient is the sum of the gradients."""

    @staticmethod
    def forward(ctx, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        x = x.clone()
        dist.all_reduce(x, group=group)
        return x

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        grad = grad.contiguous().clone()
        dist.all_reduce(grad, group=ctx.group)
        return grad, None
