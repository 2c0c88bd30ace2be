"""Deformable convolutions agree with loops and with ordinary ones."""

import itertools

import pytest
import torch
from mmcv.ops import (
    DeformConv2dPack,
    ModulatedDeformConv2dPack,
    deform_conv2d,
    modulated_deform_conv2d,
)
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn import functional as F

from mmanchor.compat import mmcv_ops

fallback_only = pytest.mark.skipif(
    mmcv_ops.has_compiled_ops(), reason='mmcv has compiled operators here'
)
# stride, padding, dilation, groups, deformable groups
LAYOUTS = [(1, 1, 1, 1, 1), (2, (1, 0), 1, 2, 2), (1, 2, 2, 1, 2), ((1, 2), 1, 1, 2, 1)]


def pair(value) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def sample(plane: Tensor, y: float, x: float) -> Tensor:
    """One bilinear sample of a map that is zero all around."""
    height, width = plane.shape
    total = plane.sum() * 0
    for row in (int(y // 1), int(y // 1) + 1):
        for column in (int(x // 1), int(x // 1) + 1):
            if 0 <= row < height and 0 <= column < width:
                weight = (1 - abs(y - row)) * (1 - abs(x - column))
                total = total + weight * plane[row, column]
    return total


def plain_deform_conv(x, offset, mask, weight, bias, layout) -> Tensor:
    """Every tap of every output, one after the other."""
    (sy, sx), (py, px), (dy, dx), groups, deform_groups = *map(pair, layout[:3]), *layout[3:]
    batch, channels = x.shape[:2]
    outputs, own_channels, kh, kw = weight.shape
    offset = offset.unflatten(1, (deform_groups, kh * kw, 2))
    mask = mask.unflatten(1, (deform_groups, kh * kw))
    height, width = offset.shape[-2:]
    result = x.new_zeros(batch, outputs, height, width)
    for b, c, h, w in itertools.product(*map(range, result.shape)):
        total = bias[c]
        for i, row, column in itertools.product(range(own_channels), range(kh), range(kw)):
            channel = c // (outputs // groups) * own_channels + i
            group, tap = channel // (channels // deform_groups), row * kw + column
            move = offset[b, group, tap, :, h, w].tolist()
            y = h * sy - py + row * dy + move[0]
            at = w * sx - px + column * dx + move[1]
            total = total + (
                weight[c, i, row, column] * mask[b, group, tap, h, w] * sample(x[b, channel], y, at)
            )
        result[b, c, h, w] = total
    return result


def inputs(layout, batch=2):
    """Input, offsets, mask, weight and bias in float64."""
    stride, padding, dilation, groups, deform_groups = layout
    x = torch.randn(batch, 4, 5, 6, dtype=torch.double)
    weight = torch.randn(4, 4 // groups, 3, 2, dtype=torch.double)
    size = F.conv2d(x, weight, None, stride, padding, dilation, groups).shape[2:]
    # Apart from whole pixels, where a bilinear sample has no derivative.
    offset = torch.randn(batch, deform_groups * 12, *size, dtype=torch.double)
    offset = offset.floor() + 0.2 + 0.6 * torch.rand_like(offset)
    mask = torch.rand(batch, deform_groups * 6, *size, dtype=torch.double)
    return x, offset, mask, weight, torch.randn(4, dtype=torch.double)


@pytest.mark.smoke
@pytest.mark.parametrize('layout', LAYOUTS)
def test_values_are_those_of_loops(layout):
    x, offset, mask, weight, bias = inputs(layout, batch=1)
    got = modulated_deform_conv2d(x, offset, mask, weight, bias, *layout)
    expected = plain_deform_conv(x, offset, mask, weight, bias, layout)
    torch.testing.assert_close(got, expected)
    got = deform_conv2d(x, offset, weight, *layout)
    ones, zeros = torch.ones_like(mask), torch.zeros_like(bias)
    torch.testing.assert_close(got, plain_deform_conv(x, offset, ones, weight, zeros, layout))


@pytest.mark.parametrize('layout', LAYOUTS)
def test_gradients_are_those_of_finite_differences(layout):
    tensors = [tensor.requires_grad_() for tensor in inputs(layout)]
    x, offset, _, weight, _ = tensors
    assert gradcheck(lambda *t: modulated_deform_conv2d(*t, *layout), tensors, fast_mode=True)
    assert gradcheck(
        lambda *t: modulated_deform_conv2d(*t, None, *layout), tensors[:4], fast_mode=True
    )
    assert gradcheck(lambda *t: deform_conv2d(*t, *layout), (x, offset, weight), fast_mode=True)


@pytest.mark.parametrize('trained', ['x', 'offset', 'weight'])
def test_each_gradient_of_version_1_comes_alone(trained):
    x, offset, _, weight, _ = inputs(LAYOUTS[0])
    tensors = dict(x=x, offset=offset, weight=weight)
    for tensor in tensors.values():
        tensor.requires_grad_()
    deform_conv2d(*tensors.values(), 1, 1).square().sum().backward()
    together = tensors[trained].grad.clone()
    alone = {
        name: tensor.detach().requires_grad_(name == trained) for name, tensor in tensors.items()
    }
    deform_conv2d(*alone.values(), 1, 1).square().sum().backward()
    torch.testing.assert_close(alone[trained].grad, together)


def test_without_shifts_it_is_an_ordinary_convolution():
    x, offset, mask, weight, bias = inputs(LAYOUTS[0])
    still, ones = torch.zeros_like(offset), torch.ones_like(mask)
    expected = F.conv2d(x, weight, bias, padding=1)
    got = modulated_deform_conv2d(x, still, ones, weight, bias, 1, 1)
    torch.testing.assert_close(got, expected)


def test_shift_by_a_pixel_moves_the_input():
    x = torch.randn(1, 1, 4, 4)
    down = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    moved = deform_conv2d(x, down, torch.ones(1, 1, 1, 1))
    torch.testing.assert_close(moved, F.pad(x[:, :, 1:], (0, 0, 0, 1)))


def test_larger_offsets_are_read_from_the_beginning_of_their_memory():
    # As mmcv's kernels do; DyHead's weights are trained with it.
    x, weight = torch.randn(2, 4, 4, 4), torch.randn(4, 4, 3, 3)
    offset, mask = torch.randn(2, 18, 8, 8), torch.rand(2, 9, 8, 8)
    got = modulated_deform_conv2d(x, offset, mask, weight, None, 1, 1)
    offset = offset.view(2, -1)[:, : 18 * 16].reshape(2, 18, 4, 4)
    mask = mask.view(2, -1)[:, : 9 * 16].reshape(2, 9, 4, 4)
    assert torch.equal(got, modulated_deform_conv2d(x, offset, mask, weight, None, 1, 1))


@pytest.mark.parametrize('step', [1, 2, 4])
def test_im2col_step_changes_nothing(step):
    x, offset, _, weight, _ = inputs(LAYOUTS[0], batch=4)
    got = deform_conv2d(x, offset, weight, 1, 1, 1, 1, 1, False, step)
    torch.testing.assert_close(got, deform_conv2d(x, offset, weight, 1, 1))


@pytest.mark.parametrize('layer', [DeformConv2dPack, ModulatedDeformConv2dPack])
def test_layers_train(layer):
    conv = layer(4, 4, 3, padding=1)
    conv(torch.randn(2, 4, 6, 6)).square().sum().backward()
    assert all(parameter.grad.any() for parameter in (conv.weight, conv.conv_offset.weight))


@fallback_only
@pytest.mark.parametrize('dtype', [torch.half, torch.bfloat16])
def test_low_precision_is_rounded_once(dtype):
    x, offset, mask, weight, bias = (tensor.to(dtype) for tensor in inputs(LAYOUTS[1]))
    got = modulated_deform_conv2d(x, offset, mask, weight, bias, *LAYOUTS[1])
    full = (tensor.float() for tensor in (x, offset, mask, weight, bias))
    assert torch.equal(got, modulated_deform_conv2d(*full, *LAYOUTS[1]).to(dtype))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('layout', LAYOUTS)
def test_gpu_gives_what_the_cpu_gives(layout):
    tensors = inputs(layout)

    def run(device):
        own = [tensor.to(device).requires_grad_() for tensor in tensors]
        result = modulated_deform_conv2d(*own, *layout)
        result = result + deform_conv2d(own[0], own[1], own[3], *layout)
        result.square().sum().backward()
        return [result.detach().cpu(), *(tensor.grad.cpu() for tensor in own)]

    torch.testing.assert_close(run('cuda'), run('cpu'))


def test_taps_of_a_new_layer_in_the_padding_have_no_slope():
    # Offsets of a new layer are zero, so that taps in the padding lie exactly
    # one pixel outside: mmcv's kernels give them no gradient.
    image = torch.tensor([[[[1.0, 2.0, 3.0]] * 3]], dtype=torch.float64)
    offset = torch.zeros(1, 8, 4, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(1, 4, 4, 4, dtype=torch.float64)
    weight = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    modulated_deform_conv2d(image, offset, mask, weight, None, 1, 1).sum().backward()
    rows, columns = offset.grad.unflatten(1, (4, 2)).unbind(2)
    # The tap at the upper left looks at row i - 1 and column j - 1. Below the
    # last row, and right of the last column, there is zero to slope to.
    below = -torch.tensor([[0.0, 1.0, 2.0, 3.0]], dtype=torch.float64)
    assert torch.equal(rows[0, 0], torch.cat((torch.zeros(3, 4), below)))
    right = torch.tensor([[0.0, 1.0, 1.0, -3.0]], dtype=torch.float64)
    assert torch.equal(columns[0, 0], torch.cat((torch.zeros(1, 4), right.expand(3, 4))))
