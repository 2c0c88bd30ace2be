"""The layer that Grad-CAM looks at, in backbones of all toolboxes."""

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from mmanchor.explanation.target_layers import find_target_layer

BACKBONES = {
    'ViT': ('mmpretrain', dict(arch='deit-tiny', img_size=64), 'layers.11.ln1', (4, 4, 1)),
    'SwinTransformer': (
        'mmpretrain',
        dict(arch='tiny', img_size=64, pad_small_map=True),
        'norm1',
        (2, 2, 0),
    ),
    'LeViT': ('mmpretrain', dict(arch='128s', img_size=128), 'stages.2', (2, 2, 0)),
    'ResNet': ('mmpretrain', dict(depth=18), 'layer4', (2, 2, 0)),
    'ConvNeXt': ('mmpretrain', dict(arch='atto'), 'stages.3', (2, 2, 0)),
    'MixVisionTransformer': ('mmseg', dict(embed_dims=8), 'norm1', (2, 2, 0)),
    'CSPNeXt': ('mmdet', dict(deepen_factor=0.1, widen_factor=0.1), 'stage4', (2, 2, 0)),
    'mmanchor.AnchorFormer': (
        'mmpretrain',
        dict(arch='tiny', img_size=64, extra_tokens=('cls',), out_type='cls_token'),
        'layers.11.norm1',
        (4, 4, 1),
    ),
    'mmanchor.AnchorLeViT': ('mmpretrain', dict(arch='128s'), 'stages.2.4', (2, 2, 0)),
    'mmanchor.AnchorESNet': ('mmdet', {}, 'stages.2.blocks.1.norm1', (2, 2, 0)),
    'mmanchor.ESNet': ('mmdet', {}, 'stages.2', (2, 2, 0)),
    'mmanchor.Sparsifiner': ('mmpretrain', dict(arch='tiny', img_size=64), 'norm1', (4, 4, 0)),
}


class Network(torch.nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, x):
        return self.backbone(x)


def build(name):
    scope, options, *expected = BACKBONES[name]
    kind = 'VisionTransformer' if name == 'ViT' else name
    with DefaultScope.overwrite_default_scope(scope):
        backbone = MODELS.build(dict(type=kind, **options))
    backbone.eval()
    return Network(backbone), expected


@pytest.mark.parametrize('name', BACKBONES)
def test_the_layer_is_a_map_that_the_output_depends_on(name):
    network, (layer, place) = build(name)
    size = 128 if name.endswith('LeViT') else 64
    images = torch.rand(1, 3, size, size, requires_grad=True)
    target = find_target_layer(network, images)
    assert target.name.startswith('backbone.')
    assert target.name.endswith(layer)
    assert (target.where.height, target.where.width, target.where.num_extra) == place
    kept = []
    handle = target.register_forward_hook(lambda _, __, output: kept.append(output))
    outputs = network(images)
    handle.remove()
    [activation] = kept
    last = outputs[-1] if isinstance(outputs, (tuple, list)) else outputs
    [gradient] = torch.autograd.grad((last * torch.randn_like(last)).sum(), [activation])
    assert target.reshape(gradient).shape[2:] == place[:2]
    assert np.abs(target.reshape(gradient).numpy()).sum() > 0
