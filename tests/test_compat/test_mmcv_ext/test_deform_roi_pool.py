"""Deformable RoI pooling agrees with RoIAlign of the shifted cells."""

import pytest
import torch
from mmcv.ops import DeformRoIPoolPack, deform_roi_pool, roi_align
from torch import Tensor
from torch.autograd import gradcheck

from mmanchor.compat import mmcv_ops

# The compiled operator has no version for the CPU.
pytestmark = pytest.mark.skipif(
    mmcv_ops.has_compiled_ops(), reason='mmcv has compiled operators here'
)
BOXES = torch.tensor([[1, 0.5, 1.2, 5.3, 6.1], [0, 2.0, 0.0, 9.5, 4.4]], dtype=torch.double)


@pytest.fixture
def maps() -> Tensor:
    """Two images' feature maps in float64, 2 channels of 7 x 9 pixels."""
    return torch.randn(2, 2, 7, 9, dtype=torch.double, requires_grad=True)


@pytest.mark.parametrize('ratio', [0, 2])
def test_without_shifts_it_is_roi_align(maps, ratio):
    got = deform_roi_pool(maps, BOXES, None, (2, 3), 0.7, ratio)
    expected = roi_align(maps, BOXES, (2, 3), 0.7, ratio, 'avg', True)
    torch.testing.assert_close(got, expected)
    weights = torch.randn_like(got)
    torch.testing.assert_close(
        torch.autograd.grad(got, maps, weights), torch.autograd.grad(expected, maps, weights)
    )


def test_each_cell_is_shifted_by_a_share_of_the_box(maps):
    shifts = torch.randn(2, 2, 2, 3, dtype=torch.double)
    got = deform_roi_pool(maps, BOXES, shifts, (2, 3), 1.0, 2, 0.1)
    for box, row, column in [(0, 1, 2), (1, 0, 1)]:
        image, x1, y1, x2, y2 = BOXES[box].tolist()
        wide, high = (x2 - x1) / 3, (y2 - y1) / 2
        left = x1 + column * wide + 0.1 * (x2 - x1) * shifts[box, 0, row, column]
        top = y1 + row * high + 0.1 * (y2 - y1) * shifts[box, 1, row, column]
        cell = torch.tensor([[image, left, top, left + wide, top + high]]).double()
        expected = roi_align(maps, cell, (1, 1), 1.0, 2, 'avg', True)
        torch.testing.assert_close(got[box, :, row, column], expected[0, :, 0, 0])


def test_gradients_are_those_of_finite_differences(maps):
    shifts = torch.randn(2, 2, 2, 3, dtype=torch.double, requires_grad=True)
    inner = torch.tensor([[1, 1.5, 1.7, 6.3, 5.1], [0, 2.0, 1.1, 7.5, 5.4]]).double()
    assert gradcheck(
        lambda m, s: deform_roi_pool(m, inner, s, (2, 3), 1.0, 0, 0.05), (maps, shifts)
    )


def test_no_boxes_give_an_empty_result_and_no_gradient(maps):
    shifts = torch.zeros(0, 2, 2, 2, dtype=torch.double, requires_grad=True)
    pooled = deform_roi_pool(maps, BOXES[:0], shifts, (2, 2))
    assert pooled.shape == (0, 2, 2, 2)
    pooled.sum().backward()
    assert not maps.grad.any()


def test_layer_learns_its_shifts():
    layer = DeformRoIPoolPack((2, 2), 3, 8)
    layer(torch.randn(2, 3, 9, 9), BOXES.float()).square().sum().backward()
    assert layer.offset_fc[-1].bias.grad.any()
