"""What the operators share: torchvision below its autograd, precision, gradients."""

from collections.abc import Callable

import torch
import torchvision  # noqa: F401  (registers the operators with torch)
from torch import Tensor

OPS = torch.ops.torchvision
FULL = (torch.float32, torch.float64)


def in_one_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Bring tensors to one dtype that torchvision has on every device.

    torchvision wants one dtype for all arguments and has no bfloat16, and on
    the CPU no half precision: such tensors become float32.

    Example:
        >>> pair = in_one_precision(torch.zeros(1).half(), torch.zeros(1))
        >>> [tensor.dtype for tensor in pair]
        [torch.float32, torch.float32]
    """
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    if dtype not in FULL:
        dtype = torch.float32
    return tuple(tensor.to(dtype).contiguous() for tensor in tensors)


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
