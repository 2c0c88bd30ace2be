"""Plain ViTs of several libraries under timm's names give the same outputs."""

import pytest
import torch
from deit_files import ARCH, SOFTMAX, classifier, largest_difference, randomise, timm_vit
from mmpretrain.models import VisionTransformer as MMPretrainViT
from timm.models.vision_transformer import VisionTransformer as TimmViT
from torchvision.models import VisionTransformer as TorchvisionViT

from mmanchor.compat.errors import CheckpointError
from mmanchor.converters import arrays_of_torch, convert_deit
from mmanchor.converters.vit_names import as_timm, vit_shape


def converted(state, ours):
    weights = as_timm(arrays_of_torch(state, 'a.pth'), 'a.pth')
    new, report = convert_deit(weights, ours.state_dict())
    assert report.is_complete, report.problems()
    ours.load_state_dict(new)
    return ours.eval(), vit_shape(weights, 'a.pth')


def torchvision_vit():
    model = TorchvisionViT(64, 16, 2, 3, 48, 192, num_classes=5).eval()
    randomise(model)
    return model


@pytest.mark.parametrize('build', [timm_vit, torchvision_vit, lambda: timm_vit(True)])
def test_classifiers_convert(build):
    theirs = build()
    distilled = hasattr(theirs, 'dist_token')
    ours, shape = converted(theirs.state_dict(), classifier(SOFTMAX, distilled))
    assert (shape.embed_dims, shape.num_layers, shape.mlp_ratio) == (48, 2, 4)
    assert (shape.patch_size, shape.img_size, shape.num_classes) == (16, 64, 5)
    assert len(shape.extra_tokens) == 1 + distilled
    assert largest_difference(ours, theirs) < 2e-5


def test_our_own_names_are_known():
    theirs = classifier(SOFTMAX)
    randomise(theirs)
    ours, _ = converted(theirs.eval().state_dict(), classifier(SOFTMAX))
    assert largest_difference(ours, theirs) == 0


def test_layer_scale_is_folded():
    theirs = TimmViT(
        img_size=64, embed_dim=48, depth=2, num_heads=3, num_classes=0, init_values=0.1
    ).eval()
    randomise(theirs)
    state = {**theirs.state_dict(), 'mask_token': torch.zeros(1, 48)}
    ours = classifier(SOFTMAX)
    ours.head = None
    ours, shape = converted(state, ours)
    assert shape.num_classes == 0
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours.backbone(images)[0], theirs(images), rtol=1e-4, atol=1e-4)


def test_mmpretrains_names_are_known():
    arch = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=192)
    theirs = MMPretrainViT(arch, 64, 16, layer_scale_init_value=0.5)
    randomise(theirs)
    theirs.eval()
    state = {f'backbone.{name}': value for name, value in theirs.state_dict().items()}
    ours = classifier(SOFTMAX, arch=ARCH)
    ours.head = None
    ours, _ = converted(state, ours)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            ours.backbone(images)[0], theirs(images)[0], rtol=1e-4, atol=1e-4
        )


def test_what_is_no_plain_vit_is_named():
    with pytest.raises(CheckpointError, match='no plain vision transformer with a class token'):
        as_timm({'layer1.weight': torch.ones(1)}, 'a.pth')
    state = timm_vit().state_dict()
    del state['blocks.0.attn.qkv.weight']
    with pytest.raises(CheckpointError, match=r'has no blocks.0.attn.qkv.weight'):
        vit_shape(as_timm(state, 'a.pth'), 'a.pth')
    state = timm_vit().state_dict()
    state['pos_embed'] = torch.ones(1, 13, 48)
    with pytest.raises(CheckpointError, match='12 patches, which are no square map'):
        vit_shape(as_timm(state, 'a.pth'), 'a.pth')
