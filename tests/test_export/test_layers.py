"""Layers that stand in while exporting give the numbers of those they replace."""

import pytest
import torch
from mmseg.models.utils import Upsample
from torch import nn

from mmanchor.export.layers import AdaptiveMean, ScaledUp, exportable_layers


@pytest.mark.parametrize('size', [(1, 1), (2, 3), (6, 6), (7, 5)])
@pytest.mark.parametrize('shape', [(5, 7), (12, 12), (3, 4), (31, 17)])
def test_adaptive_pooling_is_torchs(shape, size):
    x = torch.randn(2, 3, *shape, dtype=torch.float64)
    torch.testing.assert_close(AdaptiveMean(size)(x), nn.AdaptiveAvgPool2d(size)(x))


def test_upsampling_is_mmsegs():
    x = torch.randn(1, 2, 5, 7)
    theirs = Upsample(scale_factor=2, mode='bilinear', align_corners=False)
    assert torch.equal(ScaledUp(2, 'bilinear', False)(x), theirs(x))


def test_layers_are_replaced_and_come_back():
    model = nn.Sequential(
        nn.AdaptiveAvgPool2d(3),
        nn.Sequential(Upsample(scale_factor=2, mode='nearest'), nn.AdaptiveAvgPool2d(1)),
    )
    before = list(model.modules())
    with pytest.raises(RuntimeError), exportable_layers(model):
        assert isinstance(model[0], AdaptiveMean)
        assert isinstance(model[1][0], ScaledUp)
        assert isinstance(model[1][1], nn.AdaptiveAvgPool2d)
        raise RuntimeError
    assert list(model.modules()) == before
