"""Deformable convolution, versions 1 and 2, by torchvision.

Dai et al. (arXiv 1703.06211) and Zhu et al. (arXiv 1811.11168). Version 1 is
version 2 without a mask. The arguments ``im2col_step``, ``ones`` and
``columns`` only order the work of the compiled operators.
"""

import torch
from torch import Tensor

from .common import OPS, in_one_precision


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **layout: int,
) -> None:
    """Convolve at shifted places, into ``output``.

    Args:
        input: (B, C, H, W).
        weight: (C', C / group, kH, kW).
        offset: Shifts of each tap in pixels, y before x,
            (B, deformable_group * kH * kW * 2, H', W').
        output: Receives the result, (B, C', H', W').
        columns: Not used.
        ones: Not used.
        layout: kW, kH, dW, dH (stride), padW, padH, dilationW, dilationH,
            group, deformable_group, im2col_step.
    """
    output.copy_(_convolve(input, weight, offset, None, None, _settings_v1(layout)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **layout: int,
) -> None:
    """Write the gradients of the input and of the offsets.

    ``columns`` keeps the gradient of the weight, which comes along, for
    :func:`deform_conv_backward_parameters`.
    """
    grads = _gradients(grad_output, input, weight, offset, None, None, _settings_v1(layout))
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])
    columns.set_(grads[1].to(columns.dtype))


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **layout: int,
) -> None:
    """Write the gradient of the weight, ``scale`` times."""
    grad = columns
    if columns.shape != grad_weight.shape:
        # Only the weight is trained. Its values do not enter its gradient.
        settings = _settings_v1(layout)
        grad = _gradients(grad_output, input, grad_weight, offset, None, None, settings)[1]
    grad_weight.copy_(grad * scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **layout: int,
) -> None:
    """Convolve at shifted places, each tap weighted, into ``output``.

    Args:
        input: (B, C, H, W).
        weight: (C', C / group, kernel_h, kernel_w).
        bias: (C',), or empty.
        ones: Not used.
        offset: Shifts of each tap in pixels, y before x,
            (B, deformable_group * kernel_h * kernel_w * 2, H', W').
        mask: Weight of each tap,
            (B, deformable_group * kernel_h * kernel_w, H', W').
        output: Receives the result, (B, C', H', W').
        columns: Not used.
        with_bias: Whether to add the bias.
        layout: kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w,
            dilation_h, dilation_w, group, deformable_group.
    """
    shift = bias if with_bias else None
    offset, mask = (_as_read(tensor, output) for tensor in (offset, mask))
    output.copy_(_convolve(input, weight, offset, mask, shift, _settings_v2(layout)))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **layout: int,
) -> None:
    """Write the gradients of :func:`modulated_deform_conv_forward`."""
    shift = bias if with_bias else None
    offset, mask, grad_offset, grad_mask = (
        _as_read(tensor, grad_output) for tensor in (offset, mask, grad_offset, grad_mask)
    )
    grads = _gradients(grad_output, input, weight, offset, mask, shift, _settings_v2(layout))
    places = [grad_input, grad_weight, grad_offset, grad_mask]
    if with_bias:
        places.append(grad_bias)
    for place, grad in zip(places, grads, strict=False):
        place.copy_(grad)


def _as_read(tensor: Tensor, output: Tensor) -> Tensor:
    # A view of offsets or masks in the output's size. The compiled operator
    # takes them larger too (DyHead gives it such) and reads the beginning of
    # each image's memory as if it had the right size; weights are trained so.
    size = output.shape[2:]
    if tensor.shape[2:] == size:
        return tensor
    memory = tensor.flatten(1)[:, : tensor.size(1) * size.numel()]
    return memory.unflatten(1, (tensor.size(1), *size))


def _settings_v1(layout: dict[str, int]) -> tuple[int, ...]:
    names = 'dH dW padH padW dilationH dilationW group deformable_group'
    return tuple(layout[name] for name in names.split())


def _settings_v2(layout: dict[str, int]) -> tuple[int, ...]:
    names = 'stride_h stride_w pad_h pad_w dilation_h dilation_w group deformable_group'
    return tuple(layout[name] for name in names.split())


def _tensors(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, ...]:
    # torchvision wants a mask and a bias also where they are not used.
    mask = input.new_zeros(len(input), 1) if mask is None else mask
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return in_one_precision(input, weight, offset, mask, bias)


def _convolve(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    settings: tuple[int, ...],
) -> Tensor:
    tensors = _tensors(input, weight, offset, mask, bias)
    return OPS.deform_conv2d(*tensors, *settings, mask is not None)


def _gradients(
    grad: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    settings: tuple[int, ...],
) -> tuple[Tensor, ...]:
    # Of the input, weight, offset, mask and bias.
    tensors = _tensors(input, weight, offset, mask, bias)
    grad = grad.to(tensors[0].dtype).contiguous()
    grads = OPS._deform_conv2d_backward(grad, *tensors, *settings, mask is not None)
    return (*grads[:2], _without_the_edge(grads[2], tensors[1], tensors[2], settings), *grads[3:])


def _without_the_edge(
    grad: Tensor, weight: Tensor, offset: Tensor, settings: tuple[int, ...]
) -> Tensor:
    # A tap one pixel outside of the map reads zero. As the offsets of a new
    # layer are zero, those in the padding lie exactly there, where a value
    # begins to count: torchvision gives the slope into the map, mmcv none.
    steps, padding, dilation = settings[:2], settings[2:4], settings[4:6]
    sides = grad.shape[2:]
    for axis in range(2):
        taps = torch.arange(weight.shape[2 + axis], device=grad.device) * dilation[axis]
        places = torch.arange(sides[axis], device=grad.device) * steps[axis] - padding[axis]
        # (tap rows or columns, output rows or columns)
        base = taps[:, None] + places
        base = base[:, None, :, None] if axis == 0 else base[None, :, None, :]
        shifts = offset.unflatten(1, (-1, *weight.shape[2:], 2))[:, :, :, :, axis]
        outside = shifts + base <= -1
        grad.unflatten(1, (-1, *weight.shape[2:], 2))[:, :, :, :, axis].masked_fill_(outside, 0)
    return grad
