"""RoIAlign agrees with one written with loops, values and gradients."""

import math

import pytest
import torch
from mmcv.ops import RoIAlign, roi_align
from torch import Tensor

from mmanchor.compat import mmcv_ops

fallback_only = pytest.mark.skipif(
    mmcv_ops.has_compiled_ops(), reason='mmcv has compiled operators here'
)
BOXES = [[0, 0.5, 1.2, 5.3, 6.1], [1, 2.0, 0.0, 9.5, 4.4], [0, -3.0, -2.0, 12.0, 14.0]]


def sample(plane: Tensor, y: float, x: float) -> Tensor:
    """One bilinear sample; zero beyond a pixel outside the map."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return plane.sum() * 0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    down, right = y - top, x - left
    above = plane[top, left] * (1 - right) + plane[top, left + 1] * right
    below = plane[top + 1, left] * (1 - right) + plane[top + 1, left + 1] * right
    return above * (1 - down) + below * down


def plain_roi_align(maps, boxes, size, scale, ratio, mode, aligned) -> Tensor:
    """Every sample of every cell of every box, one after the other."""
    shift = 0.5 if aligned else 0.0
    pooled = []
    for image, *corners in boxes.tolist():
        left, top, right, bottom = (c * scale - shift for c in corners)
        sides = [bottom - top, right - left]
        if not aligned:
            sides = [max(side, 1.0) for side in sides]
        cells = [side / count for side, count in zip(sides, size, strict=True)]
        grid = [ratio or math.ceil(cell) for cell in cells]
        for plane in maps[int(image)]:
            for row in range(size[0]):
                for column in range(size[1]):
                    samples = [
                        sample(
                            plane,
                            top + (row + (i + 0.5) / grid[0]) * cells[0],
                            left + (column + (j + 0.5) / grid[1]) * cells[1],
                        )
                        for i in range(grid[0])
                        for j in range(grid[1])
                    ]
                    stacked = torch.stack(samples)
                    pooled.append(stacked.max() if mode == 'max' else stacked.mean())
    return torch.stack(pooled).view(len(boxes), maps.size(1), *size)


@pytest.fixture
def maps() -> Tensor:
    """Two images' feature maps in float64, 2 channels of 7 x 9 pixels."""
    return torch.randn(2, 2, 7, 9, dtype=torch.double, requires_grad=True)


@pytest.mark.smoke
@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_values_and_gradients_are_those_of_loops(maps, mode, aligned, ratio):
    boxes = torch.tensor(BOXES, dtype=torch.double)
    arguments = (maps, boxes, (2, 3), 0.7, ratio, mode, aligned)
    pooled, plain = roi_align(*arguments), plain_roi_align(*arguments)
    torch.testing.assert_close(pooled, plain)
    weights = torch.randn_like(plain)
    got = torch.autograd.grad(pooled, maps, weights)
    expected = torch.autograd.grad(plain, maps, weights)
    torch.testing.assert_close(got, expected)


def test_cell_of_a_linear_ramp_is_its_center():
    # The mean of a linear function over a cell is its value at the center:
    # x - 0.5 at pixel centers, cells centered at x = 2 and 4.
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    pooled = RoIAlign((1, 2), 1.0, 0)(ramp, torch.tensor([[0, 1.0, 1.0, 5.0, 5.0]]))
    torch.testing.assert_close(pooled.flatten(), torch.tensor([1.5, 3.5]))


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_no_boxes_give_an_empty_result_and_no_gradient(maps, mode):
    pooled = roi_align(maps, maps.new_zeros(0, 5), (2, 2), 1.0, 0, mode, True)
    assert pooled.shape == (0, 2, 2, 2)
    pooled.sum().backward()
    assert not maps.grad.any()


@fallback_only
@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('dtype', [torch.half, torch.bfloat16])
def test_low_precision_is_rounded_once(maps, mode, dtype):
    low = maps.detach().to(dtype).requires_grad_()
    boxes = torch.tensor([[0, 1.0, 1.0, 6.0, 5.0]])
    pooled = roi_align(low, boxes.to(dtype), (2, 2), 1.0, 0, mode, True)
    exact = roi_align(low.float(), boxes, (2, 2), 1.0, 0, mode, True)
    assert torch.equal(pooled, exact.to(dtype))
    pooled.sum().backward()
    assert low.grad.dtype == dtype and low.grad.sum().item() == pytest.approx(8, rel=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_gpu_gives_what_the_cpu_gives(maps, mode):
    def pool(device):
        own = maps.detach().float().to(device).requires_grad_()
        boxes = torch.tensor(BOXES, device=device)
        pooled = roi_align(own, boxes, (2, 3), 0.7, 0, mode, True)
        pooled.square().sum().backward()
        return pooled.detach().cpu(), own.grad.cpu()

    torch.testing.assert_close(pool('cuda'), pool('cpu'), rtol=1e-4, atol=1e-5)
