"""Anchors take the place of softmax attention in models of four libraries."""

import copy
import io

import pytest
import torch
from deit_files import ARCH, SOFTMAX, classifier, randomise
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.models import VisionTransformer as MMPretrainViT
from timm import create_model
from timm.models.vision_transformer import VisionTransformer as TimmViT
from torch import nn
from torchvision.models import VisionTransformer as TorchvisionViT

from mmanchor.anchorization import anchorize, find_softmax
from mmanchor.models import AnchorFormer, LearnedAnchorAttention

SIZE = dict(img_size=64, patch_size=16)
TIMM = dict(**SIZE, embed_dim=48, depth=2, num_heads=3, num_classes=5)


def mmpretrain_vit(**kwargs):
    arch = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)
    return MMPretrainViT(arch, **SIZE, **kwargs)


def torchvision_vit():
    return TorchvisionViT(64, 16, 2, 3, 48, 96, num_classes=5)


BUILDERS = {
    'ours': lambda: AnchorFormer(ARCH, img_size=64, attention='softmax'),
    'ours with biases and convolutions': lambda: AnchorFormer(
        ARCH, img_size=64, attention=dict(**SOFTMAX, depthwise=True)
    ),
    'our classifier': lambda: classifier(SOFTMAX, distilled=True),
    'mmpretrain': mmpretrain_vit,
    'mmpretrain with layer scale': lambda: mmpretrain_vit(layer_scale_init_value=0.5),
    'timm': lambda: TimmViT(**TIMM),
    'timm without biases': lambda: TimmViT(**TIMM, qkv_bias=False, proj_bias=False),
    'torchvision': torchvision_vit,
}


@pytest.fixture(params=BUILDERS)
def model(request):
    init_default_scope('mmpretrain')
    model = BUILDERS[request.param]()
    randomise(model)
    model.eval()  # of mmpretrain's it returns nothing
    return model


@pytest.fixture
def images():
    return torch.rand(3, 3, 64, 64)


def outputs(model, images):
    """The first output, whatever form a model gives it."""
    out = model(images)
    while isinstance(out, (tuple, list)):
        out = out[0]
    return out


def anchored(model):
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, LearnedAnchorAttention)
    }


def without_queries_and_keys(model):
    """Make softmax attention, and any anchors of it, the plain mean."""
    for softmax in find_softmax(model).values():
        for param in (softmax.weight, softmax.bias):
            if param is not None:
                nn.init.zeros_(param.data[: 2 * softmax.embed_dims])
    return model


@torch.no_grad()
@pytest.mark.parametrize('calibrated', (False, True))
def test_where_attention_is_a_mean_nothing_changes(model, images, calibrated):
    without_queries_and_keys(model)
    wanted = outputs(model, images)
    assert anchorize(model, 4, [images] if calibrated else None) is model
    assert len(anchored(model)) == 2
    torch.testing.assert_close(outputs(model, images), wanted, rtol=1e-4, atol=1e-5)


def test_keys_values_and_projections_stay(model, images):
    before = find_softmax(model)
    anchorize(model, 4, [images])
    for name, module in anchored(model).items():
        softmax = before[name]
        assert module.proj is softmax.proj
        assert torch.equal(module.in_proj.weight, softmax.weight[48:])
        if softmax.bias is None:
            assert module.in_proj.bias is None
        else:
            assert torch.equal(module.in_proj.bias, softmax.bias[48:])
        assert module.anchors.shape == (3, 4, 16)


def test_every_parameter_learns(model, images):
    anchorize(model, 4, [images])
    model.train()
    outputs(model, images).square().mean().backward()
    for name, param in model.named_parameters():
        assert param.grad is not None, name
        assert param.grad.isfinite().all(), name
    assert all(module.anchors.grad.any() for module in anchored(model).values())


@torch.no_grad()
def test_the_deploy_form_is_the_same(model, images):
    anchorize(model, 4, [images])
    wanted = outputs(model, images)
    for module in anchored(model).values():
        module.switch_to_deploy()
        assert module.deploy
    torch.testing.assert_close(outputs(model, images), wanted, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_weights_load_into_another_anchorized_model(model, images):
    other = copy.deepcopy(model)
    randomise(other)
    file = io.BytesIO()
    torch.save(anchorize(model, 4, [images]).state_dict(), file)
    file.seek(0)
    anchorize(other, 4).load_state_dict(torch.load(file))
    assert torch.equal(outputs(other, images), outputs(model, images))


def test_the_twin_becomes_an_anchorformer(images):
    twin = BUILDERS['ours']()
    attention = dict(type='mmanchor.LearnedAnchorAttention', per_head_anchors=True)
    ours = AnchorFormer(ARCH, img_size=64, num_anchors=4, attention=attention)
    ours.load_state_dict(anchorize(twin, 4, [images]).state_dict())
    torch.testing.assert_close(ours.eval()(images), twin.eval()(images))


def test_anchors_are_means_of_queries_and_keys(images):
    model = TimmViT(**TIMM).eval()
    seen = []
    model.blocks[0].attn.register_forward_pre_hook(
        lambda module, args: seen.append(module.qkv(args[0])[..., :96])
    )
    # As many anchors as there are of both: each anchor is one.
    num = 2 * 17 * len(images)
    anchorize(model, num, [images])
    points = seen[0].reshape(num // 2, 2, 3, 16).permute(2, 0, 1, 3)
    anchors = model.blocks[0].attn.anchors
    distance = torch.cdist(anchors, points.flatten(1, 2))
    assert distance.amin(dim=1).max() < 1e-2
    assert distance.amin(dim=2).max() < 1e-2


def test_heads_can_share_anchors(images):
    model = anchorize(TimmViT(**TIMM), 5, [images], per_head=False)
    assert model.blocks[0].attn.anchors.shape == (5, 16)
    model = anchorize(TimmViT(**TIMM), 5, per_head=False)
    assert model.blocks[0].attn.anchors.shape == (5, 16)


@pytest.mark.parametrize('name', ('timm', 'our classifier'))
def test_forms_of_batches_give_the_same(images, name):
    first = BUILDERS[name]()
    second, third = copy.deepcopy(first), copy.deepcopy(first)
    anchorize(first, 4, [images])
    anchorize(second, 4, ((images, torch.zeros(3)) for _ in range(1)))
    assert str(first.state_dict()) == str(second.state_dict())
    if name == 'our classifier':
        batch = dict(inputs=list(images))
        third.data_preprocessor = MODELS.build(dict(type='ClsDataPreprocessor'))
        anchorize(third, 4, [batch])
        assert str(first.state_dict()) == str(third.state_dict())


def test_a_large_sample_is_bounded(images, monkeypatch):
    monkeypatch.setattr('mmanchor.anchorization.fitting.MAX_TOKENS', 20)
    model = TimmViT(**TIMM)
    with pytest.raises(ValueError, match=r'41 clusters need .* got 40'):
        anchorize(model, 41, [images, images])
    anchorize(model, 40, [images, images])


def test_training_mode_and_dropout_stay(images):
    model = TimmViT(**TIMM, proj_drop_rate=0.25).train()
    model.norm.eval()
    anchorize(model, 4, [images])
    attention = model.blocks[1].attn
    assert attention.training and attention.proj_drop.p == 0.25
    assert model.blocks[0].mlp.training and not model.norm.training
    assert not attention._forward_pre_hooks


@pytest.mark.parametrize('name', ('our classifier', 'timm in mmpretrain'))
def test_a_runner_does_not_draw_the_weights_anew(name):
    init_default_scope('mmpretrain')
    if name == 'our classifier':
        model = BUILDERS[name]()
    else:
        model = MODELS.build(dict(type='TimmClassifier', model_name='vit_tiny_patch16_224', **TIMM))
    anchorize(model, 4)
    before = copy.deepcopy(model.state_dict())
    model.init_weights()  # as Runner.train does
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_kept_modules_are_left_alone(images):
    model = anchorize(TimmViT(**TIMM), 4, [images], keep=('blocks.0',))
    assert list(anchored(model)) == ['blocks.1.attn']
    with pytest.raises(ValueError, match="keep has 'block', but"):
        anchorize(TimmViT(**TIMM), 4, keep=('block',))


class Tokens(nn.Sequential):
    """A model of layers from torch alone."""

    def __init__(self):
        super().__init__(nn.TransformerEncoderLayer(48, 3, 96, batch_first=True))


def swin():
    return create_model(
        'swin_tiny_patch4_window7_224', img_size=56, embed_dim=24, depths=(1,), num_heads=(3,)
    )


@pytest.mark.parametrize(
    'build, message',
    [
        (
            lambda: TimmViT(**TIMM, qk_norm=True),
            "'blocks.0.attn' cannot be replaced: it has q_norm .option qk_norm",
        ),
        (swin, "WindowAttention 'layers.0.blocks.0.attn' cannot be replaced"),
        (Tokens, "'0.self_attn' cannot .* in a TransformerEncoderLayer"),
        (lambda: nn.Linear(3, 3), 'the Linear has no softmax attention'),
        (lambda: AnchorFormer(ARCH), 'the AnchorFormer has no softmax attention'),
    ],
)
def test_what_cannot_be_replaced_is_named(build, message):
    model = build()
    before = list(model.state_dict())
    with pytest.raises(ValueError, match=message):
        anchorize(model, 4)
    assert list(model.state_dict()) == before


@pytest.mark.parametrize(
    'num_anchors, calibration, message',
    [
        (0, None, 'num_anchors must be at least 1, got 0'),
        (35, [torch.rand(1, 3, 64, 64)], '35 clusters need .* got 34; give more'),
        (4, [], "no batch of images that reached 'blocks.0.attn'"),
        (4, [torch.rand(3, 64, 64)], r'\(B, 3, H, W\), got \(3, 64, 64\)'),
        (4, ['a.png'], r'\(B, 3, H, W\), got str'),
        (4, [()], r'\(B, 3, H, W\), got tuple'),
        (4, [dict(inputs=[])], 'the VisionTransformer has no data_preprocessor'),
    ],
)
def test_bad_arguments_change_nothing(num_anchors, calibration, message):
    model = TimmViT(**TIMM)
    with pytest.raises(ValueError, match=message):
        anchorize(model, num_anchors, calibration)
    assert not anchored(model)


def test_learned_anchors_may_outnumber_the_tokens(images):
    out = anchorize(TimmViT(**TIMM), 40, [images])(images[:1])
    assert out.isfinite().all()


def test_masks_and_other_sequences_are_refused(images):
    x = torch.rand(1, 4, 48)
    attention = anchorize(TimmViT(**TIMM), 4).blocks[0].attn
    with pytest.raises(ValueError, match='attn_mask must be None'):
        attention(x, attn_mask=torch.zeros(4, 4))
    attention = anchorize(torchvision_vit(), 4).encoder.layers[0]
    attention = attention.self_attention
    assert attention(x, x, x)[1] is None
    with pytest.raises(ValueError, match='key and value must be the same'):
        attention(x, x + 1, x)
    with pytest.raises(ValueError, match='is_causal must be None or False'):
        attention(x, x, x, is_causal=True)
