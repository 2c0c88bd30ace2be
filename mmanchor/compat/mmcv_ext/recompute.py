"""Gradients by autograd, for operators written in plain torch."""

from collections.abc import Callable

import torch
from torch import Tensor


def gradients_of(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...], grad_output: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of a function's inputs, by computing it once more.

    The compiled operators keep nothing between their two passes either.

    Example:
        >>> x = torch.tensor([3.0])
        >>> gradients_of(torch.square, (x,), torch.ones(1))
        (tensor([6.]),)
    """
    with torch.enable_grad():
        leaves = tuple(tensor.detach().requires_grad_() for tensor in inputs)
        output = function(*leaves)
        return torch.autograd.grad(output, leaves, grad_output.to(output.dtype))
