"""Parameters and multiply-adds of the detectors that the configs build."""

import pytest
import torch
from mmengine.registry import init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from mmanchor.analysis.complexity import switch_to_deploy
from mmanchor.registry import MODELS
from mmanchor.utils.config import load_config


def build(name):
    init_default_scope('mmdet')
    with torch.device('meta'):
        return MODELS.build(load_config(name).model).eval()


def count_params(model):
    return sum(param.numel() for param in model.parameters())


@torch.no_grad()
def count_macs(model, side):
    """Of matrix products and convolutions, by torch's own counter."""
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, side, side, device='meta'))
    return counter.get_total_flops() / 2


@pytest.mark.parametrize(
    'name, params, side, gmacs',
    [
        ('picodet_esnet-s_4xb80-300e_coco-320', 992719, 320, 0.351),
        ('picodet_esnet-m_4xb80-300e_coco-416', 2152558, 416, 1.211),
        ('picodet_esnet-l_8xb48-250e_coco-416', 3305013, 416, 1.834),
    ],
)
def test_picodet_costs_what_is_published(name, params, side, gmacs):
    model = build(name)
    assert count_params(model) == params
    assert count_macs(model, side) / 1e9 == pytest.approx(gmacs, abs=5e-4)


@pytest.mark.parametrize(
    'size, params, gmacs', [('t', 2.9e6, 1.1), ('s', 5.5e6, 1.7), ('b', 8.6e6, 2.8)]
)
def test_anchorformer_detectors_fit_the_papers_budgets(size, params, gmacs):
    """Table 2 of arXiv 2505.16463, in the deploy form at 416 pixels."""
    model = build(f'picodet_anchorformer-{size}_coco')
    assert switch_to_deploy(model)
    assert 0.9 * params <= count_params(model) <= params
    assert count_macs(model, 416) <= gmacs * 1e9
