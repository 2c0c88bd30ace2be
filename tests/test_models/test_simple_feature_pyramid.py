"""The neck that makes a pyramid from maps of one stride."""

import pytest
import torch

from mmanchor.models import SimpleFeaturePyramid


@pytest.mark.parametrize('size', [(4, 6), (5, 3), (1, 1)])
def test_scales_and_widths(size):
    neck = SimpleFeaturePyramid(16, (4, 8, 16, 24, 16), (4, 2, 1, 0.5, 0.25))
    outs = neck(tuple(torch.randn(1, 16, *size) for _ in range(5)))
    assert isinstance(outs, tuple)
    assert [out.shape[1] for out in outs] == [4, 8, 16, 24, 16]
    for out, scale in zip(outs, (4, 2, 1, 0.5, 0.25), strict=True):
        want = tuple(-int(-side * scale // 1) for side in size)
        assert tuple(out.shape[2:]) == want


def test_each_level_reads_its_own_map():
    neck = SimpleFeaturePyramid(8, (2, 4, 8, 8)).eval()
    maps = [torch.randn(1, 8, 4, 4) for _ in range(4)]
    first = neck(maps)
    for i in range(4):
        changed = list(maps)
        changed[i] = maps[i] + 1
        same = [torch.equal(a, b) for a, b in zip(first, neck(changed), strict=True)]
        assert same == [j != i for j in range(4)]


def test_one_map_serves_every_level():
    neck = SimpleFeaturePyramid(8, (2, 4, 8, 8)).eval()
    x = torch.randn(1, 8, 4, 4)
    for one, four in zip(neck((x,)), neck((x,) * 4), strict=True):
        assert torch.equal(one, four)


def test_unchanged_widths_cost_nothing_at_the_same_and_the_coarse_scale():
    neck = SimpleFeaturePyramid(8, (8, 8), (1, 0.5))
    assert not list(neck.parameters())
    x = torch.randn(1, 8, 4, 4)
    same, coarse = neck((x,))
    assert torch.equal(same, x)
    assert torch.equal(coarse, torch.nn.functional.max_pool2d(x, 2))


@pytest.mark.parametrize(
    'args, message',
    [
        (((2, 4, 8),), 'out_channels must have one number for each of scales'),
        (((2, 4), (1, 3)), 'scales must be among .* got 3'),
    ],
)
def test_arguments_that_do_not_fit_are_refused(args, message):
    with pytest.raises(ValueError, match=message):
        SimpleFeaturePyramid(8, *args)


def test_a_wrong_number_of_maps_is_refused():
    neck = SimpleFeaturePyramid(8, (2, 4, 8, 8))
    with pytest.raises(ValueError, match=r'inputs must be 1 or 4 .* got 2'):
        neck([torch.randn(1, 8, 4, 4)] * 2)
