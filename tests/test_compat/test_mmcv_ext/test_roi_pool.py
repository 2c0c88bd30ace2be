"""RoIPool agrees with one written with loops, values and gradients."""

import math

import pytest
import torch
from mmcv.ops import RoIPool, roi_pool
from torch import Tensor

from mmanchor.compat import mmcv_ops
from mmanchor.compat.mmcv_ext import roi_pool as stand_in

# The compiled operator has no version for the CPU.
pytestmark = pytest.mark.skipif(
    mmcv_ops.has_compiled_ops(), reason='mmcv has compiled operators here'
)
BOXES = [[0, 0.4, 1.2, 5.3, 6.1], [1, 2.0, 0.0, 9.5, 4.4], [0, -3.0, -2.0, 30.0, 14.0]]


def plain_roi_pool(maps: Tensor, boxes: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    """The largest pixel of each cell, one cell after the other."""
    pooled = maps.new_zeros(len(boxes), maps.size(1), *size)
    for number, (image, x1, y1, x2, y2) in enumerate(boxes.tolist()):
        left, top = x1 * scale, y1 * scale
        wide = ((x2 + 1) * scale - left) / size[1]
        high = ((y2 + 1) * scale - top) / size[0]
        if wide <= 0 or high <= 0:
            continue
        for row in range(size[0]):
            for column in range(size[1]):
                ys = (math.floor(top + row * high), math.ceil(top + (row + 1) * high))
                xs = (math.floor(left + column * wide), math.ceil(left + (column + 1) * wide))
                ys, xs = (max(ys[0], 0), max(ys[1], 0)), (max(xs[0], 0), max(xs[1], 0))
                cell = maps[int(image), :, slice(*ys), slice(*xs)]
                if cell.numel():
                    pooled[number, :, row, column] = cell.amax((1, 2))
    return pooled


@pytest.fixture
def maps() -> Tensor:
    """Two images' feature maps in float64, 2 channels of 7 x 9 pixels."""
    return torch.randn(2, 2, 7, 9, dtype=torch.double, requires_grad=True)


@pytest.mark.parametrize('scale', [1.0, 0.7])
@pytest.mark.parametrize('chunk', [1, 2**24])
def test_values_and_gradients_are_those_of_loops(maps, scale, chunk, monkeypatch):
    monkeypatch.setattr(stand_in, 'CHUNK', chunk)
    boxes = torch.tensor(BOXES, dtype=torch.double)
    pooled = roi_pool(maps, boxes, (2, 3), scale)
    plain = plain_roi_pool(maps, boxes, (2, 3), scale)
    torch.testing.assert_close(pooled, plain)
    weights = torch.randn_like(plain)
    got = torch.autograd.grad(pooled, maps, weights)
    torch.testing.assert_close(got, torch.autograd.grad(plain, maps, weights))


def test_last_pixel_belongs_to_the_box():
    # Pixels 0..3 in two cells of two: 1 and 3, of the ramp 0, 1, 2, 3.
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    pooled = RoIPool((1, 2))(ramp, torch.tensor([[0.0, 0, 0, 3, 3]]))
    assert pooled.flatten().tolist() == [1, 3]


def test_cells_outside_the_map_are_zero_and_give_no_gradient(maps):
    pooled = roi_pool(maps, torch.tensor([[0.0, 20, 20, 30, 30]]), (2, 2), 1.0)
    assert not pooled.any()
    pooled.sum().backward()
    assert not maps.grad.any()


def test_no_boxes_give_an_empty_result(maps):
    pooled = roi_pool(maps, maps.new_zeros(0, 5), (2, 2), 1.0)
    assert pooled.shape == (0, 2, 2, 2)
    pooled.sum().backward()
    assert not maps.grad.any()
