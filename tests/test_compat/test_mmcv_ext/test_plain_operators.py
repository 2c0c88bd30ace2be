"""Operators in plain torch: attention, masks, upsampling, masked convolution."""

import itertools

import pytest
import torch
from mmcv.ops import MaskedConv2d, MultiScaleDeformableAttention, PSAMask, carafe, carafe_naive
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from torch.autograd import gradcheck
from torch.nn import functional as F

from mmanchor.compat import mmcv_ops

# Most of the compiled operators have no version for the CPU.
pytestmark = pytest.mark.skipif(
    mmcv_ops.has_compiled_ops(), reason='mmcv has compiled operators here'
)


def attention_inputs():
    """Two levels, 6 and 2 pixels; 3 queries, 2 heads, 2 points."""
    shapes = torch.tensor([[2, 3], [1, 2]])
    value = torch.randn(2, 8, 2, 4, dtype=torch.double, requires_grad=True)
    places = torch.rand(2, 3, 2, 2, 2, 2, dtype=torch.double, requires_grad=True)
    weights = torch.rand(2, 3, 2, 2, 2, dtype=torch.double, requires_grad=True)
    return shapes, torch.tensor([0, 6]), value, places, weights


def test_deformable_attention_is_mmcvs_for_the_cpu():
    shapes, starts, value, places, weights = attention_inputs()
    got = MultiScaleDeformableAttnFunction.apply(value, shapes, starts, places, weights, 64)
    expected = multi_scale_deformable_attn_pytorch(value, shapes, places, weights)
    torch.testing.assert_close(got, expected)
    inputs = (value, places, weights)
    torch.testing.assert_close(
        torch.autograd.grad(got.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
    )


def test_deformable_attention_at_a_pixels_center_is_its_value():
    shapes, starts, value, places, weights = attention_inputs()
    # Pixel (row 1, column 2) of 2 x 3, and pixel (0, 1) of 1 x 2.
    places = torch.tensor([[2.5 / 3, 1.5 / 2], [1.5 / 2, 0.5]], dtype=torch.double)
    places = places[None, None, None, :, None].expand(2, 3, 2, 2, 2, 2)
    got = MultiScaleDeformableAttnFunction.apply(value, shapes, starts, places, weights, 64)
    per_level = weights.sum(-1)  # (B, queries, heads, levels)
    expected = (
        per_level[..., 0, None] * value[:, None, 5] + per_level[..., 1, None] * value[:, None, 7]
    )
    torch.testing.assert_close(got, expected.flatten(2))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('autocast', [False, True])
def test_attention_layer_trains_on_the_gpu(autocast):
    layer = MultiScaleDeformableAttention(32, 4, 2, batch_first=True, dropout=0.0).cuda()
    query = torch.randn(2, 8, 32, device='cuda')
    references = torch.rand(2, 8, 2, 2, device='cuda')
    shapes = torch.tensor([[2, 3], [1, 2]], device='cuda')
    arguments = dict(
        reference_points=references,
        spatial_shapes=shapes,
        level_start_index=torch.tensor([0, 6], device='cuda'),
    )
    with torch.autocast('cuda', torch.float16, enabled=autocast):
        result = layer(query, **arguments)
    result.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())
    on_cpu = layer.cpu()(query.cpu(), **{name: t.cpu() for name, t in arguments.items()})
    tolerance = 2e-2 if autocast else 1e-4
    torch.testing.assert_close(result.float().cpu(), on_cpu, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('psa_type', ['collect', 'distribute'])
@pytest.mark.parametrize('size', [(5, 7), (3, 3)])
def test_psa_mask_puts_windows_around_their_centers(psa_type, size):
    height, width = 3, 4
    windows = torch.randn(2, size[0] * size[1], height, width, dtype=torch.double)
    got = PSAMask(psa_type, size)(windows.requires_grad_()).unflatten(1, (height, width))
    expected = torch.zeros_like(got)
    for row, column, h, w in itertools.product(*map(range, (*size, height, width))):
        y, x = row + h - size[0] // 2, column + w - size[1] // 2
        if 0 <= y < height and 0 <= x < width:
            place = (y, x, h, w) if psa_type == 'collect' else (h, w, y, x)
            expected[(slice(None), *place)] = windows[:, row * size[1] + column, h, w]
    assert torch.equal(got, expected)
    assert gradcheck(PSAMask(psa_type, size), windows, fast_mode=True)


def test_carafe_mixes_the_neighborhood_by_weights():
    kernel, groups, scale = 3, 2, 2
    features = torch.randn(1, 4, 3, 2, dtype=torch.double, requires_grad=True)
    masks = torch.rand(1, groups * kernel**2, 6, 4, dtype=torch.double, requires_grad=True)
    got = carafe(features, masks, kernel, groups, scale)
    padded = F.pad(features, (1, 1, 1, 1))
    for c, y, x in itertools.product(range(4), range(6), range(4)):
        near = padded[0, c, y // scale : y // scale + 3, x // scale : x // scale + 3].flatten()
        own = masks[0, c // 2 * 9 : c // 2 * 9 + 9, y, x]
        torch.testing.assert_close(got[0, c, y, x], near @ own)
    assert gradcheck(lambda f, m: carafe(f, m, kernel, groups, scale), (features, masks))
    assert torch.equal(carafe_naive(features, masks, kernel, groups, scale), got)


def test_masked_convolution_is_the_ordinary_one_where_the_mask_is():
    conv = MaskedConv2d(3, 4, 3, padding=1)
    image, mask = torch.randn(1, 3, 6, 7), torch.rand(1, 6, 7) > 0.5
    full = F.conv2d(image, conv.weight, conv.bias, padding=1)
    torch.testing.assert_close(conv(image, mask.float()), full * mask)
    assert not conv(image, torch.zeros(1, 6, 7)).any()
