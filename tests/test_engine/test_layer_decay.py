"""Layer-wise learning rates below any model."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmanchor.models import AnchorFormer


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        arch = dict(embed_dims=8, num_layers=2, num_heads=1, mlp_ratio=2)
        self.backbone = AnchorFormer(arch, img_size=16, num_anchors=2)
        self.head = nn.Linear(8, 3)


def optim_cfg(**paramwise):
    return dict(
        constructor='mmanchor.LayerDecayOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.5),
        paramwise_cfg=paramwise,
    )


def groups_by_name(model, cfg):
    names = {id(p): name for name, p in model.named_parameters()}
    groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    return {names[id(g['params'][0])]: g for g in groups}


def test_rates_shrink_towards_the_embedding():
    groups = groups_by_name(Model(), optim_cfg(layer_decay_rate=0.5))
    assert groups['head.weight']['lr'] == 1
    assert groups['backbone.norm.weight']['lr'] == 1
    assert groups['backbone.layers.1.attn.anchors']['lr'] == 0.5
    assert groups['backbone.layers.0.mlp.layers.1.bias']['lr'] == 0.25
    assert groups['backbone.pos_embed']['lr'] == 0.125


def test_options_of_mmengine_multiply_on_top():
    cfg = optim_cfg(
        layer_decay_rate=0.5,
        norm_decay_mult=0.0,
        custom_keys=dict(anchors=dict(lr_mult=3.0, decay_mult=0.0)),
    )
    groups = groups_by_name(Model(), cfg)
    assert groups['backbone.layers.1.attn.anchors']['lr'] == 1.5
    assert groups['backbone.layers.1.attn.anchors']['weight_decay'] == 0
    assert groups['backbone.layers.1.norm1.weight']['weight_decay'] == 0
    assert groups['head.weight']['weight_decay'] == 0.5


def test_frozen_parameters_are_left_out():
    model = Model()
    model.backbone.pos_embed.requires_grad_(False)
    groups = groups_by_name(model, optim_cfg(layer_decay_rate=0.5))
    assert 'backbone.pos_embed' not in groups
    trainable = sum(p.requires_grad for p in model.parameters())
    assert len(groups) == trainable


@pytest.mark.parametrize('rate', [None, 0, 1.5])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match=r'layer_decay_rate.*\(0, 1\]'):
        build_optim_wrapper(Model(), optim_cfg(layer_decay_rate=rate))


def test_a_backbone_without_depths_is_refused():
    with pytest.raises(TypeError, match='get_layer_depth'):
        build_optim_wrapper(nn.Sequential(nn.Linear(2, 2)), optim_cfg(layer_decay_rate=0.5))


def test_rates_are_kept_apart_from_the_base_rate():
    optimizer = build_optim_wrapper(Model(), optim_cfg(layer_decay_rate=0.5)).optimizer
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults['lr'] == 1
