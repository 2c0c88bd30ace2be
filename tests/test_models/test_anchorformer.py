"""The AnchorFormer backbone: contracts, freezing, loading, deploy form."""

import copy

import pytest
import torch
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmpretrain.structures import DataSample
from torch_versions import exports_open_sizes

from mmanchor.models import AnchorFormer
from mmanchor.registry import MODELS
from mmanchor.utils.config import load_config

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, mlp_ratio=2)


def build(**kwargs):
    kwargs = dict(dict(img_size=32, num_anchors=4, patch_size=8), **kwargs)
    model = AnchorFormer(ARCH, **kwargs)
    model.init_weights()
    return model.eval()


# Measured on the released classifier at 1000 classes: with both tokens, less
# its two heads of 1000 * (C + 1).
@pytest.mark.parametrize(
    'arch, total', [('tiny', 5_484_560), ('small', 20_676_176), ('base', 80_255_696)]
)
def test_sizes_have_the_released_number_of_parameters(arch, total):
    with torch.device('meta'):
        model = AnchorFormer(arch, extra_tokens=('cls', 'dist'), out_type='tokens')
    own = sum(param.numel() for param in model.parameters())
    assert own + 2 * 1000 * (model.embed_dims + 1) == total


@pytest.mark.smoke
@pytest.mark.parametrize('attention', ['learned', 'token', 'softmax'])
@pytest.mark.parametrize(
    'size, grid', [((32, 32), (4, 4)), ((40, 64), (5, 8)), ((33, 17), (5, 3)), ((8, 64), (1, 8))]
)
def test_maps_have_the_patch_stride_at_any_size(attention, size, grid):
    model = build(attention=attention, out_indices=(0, 2))
    outs = model(torch.randn(2, 3, *size))
    assert isinstance(outs, tuple)
    assert [out.shape for out in outs] == [(2, 32, *grid)] * 2


@pytest.mark.parametrize('extra_tokens', [('cls',), ('cls', 'dist')])
def test_the_class_token_alone(extra_tokens):
    x = torch.randn(2, 3, 32, 32)
    model = build(extra_tokens=extra_tokens, out_type='tokens')
    tokens = model(x)[0]
    model.out_type = 'cls_token'
    (out,) = model(x)
    assert torch.equal(out, tokens if len(extra_tokens) == 1 else tokens[0])


@pytest.mark.parametrize('name', ['AnchorFormer', 'Sparsifiner'])
def test_mmpretrains_vit_head_takes_the_class_token(name, scope):
    cfg = load_config('mmpretrain::vision_transformer/vit-base-p16_64xb64_in1k.py')
    scope(cfg)
    cfg.model.backbone = dict(
        type=f'mmanchor.{name}',
        arch=ARCH,
        img_size=32,
        patch_size=8,
        extra_tokens=('cls',),
        out_type='cls_token',
    )
    cfg.model.head.update(in_channels=ARCH['embed_dims'], num_classes=5)
    cfg.model.train_cfg = None
    model = MMENGINE_MODELS.build(cfg.model)
    samples = [DataSample().set_gt_label(label) for label in (0, 4)]
    losses = model.loss(torch.randn(2, 3, 32, 32), samples)
    assert losses['loss'].isfinite()
    predictions = model.eval().predict(torch.randn(2, 3, 32, 32))
    assert [len(each.pred_score) for each in predictions] == [5, 5]


def test_output_types():
    x = torch.randn(2, 3, 32, 32)
    model = build(extra_tokens=('cls', 'dist'), out_type='tokens')
    ((cls, dist),) = model(x)
    assert cls.shape == dist.shape == (2, 32) and not torch.equal(cls, dist)
    (out,) = build(extra_tokens=('cls',), out_type='tokens')(x)
    assert out.shape == (2, 32)
    torch.manual_seed(0)
    (maps,) = build(extra_tokens=('cls',))(x)
    torch.manual_seed(0)
    (mean,) = build(extra_tokens=('cls',), out_type='avg_featmap')(x)
    torch.testing.assert_close(maps.mean((2, 3)), mean)


def test_only_the_last_layer_is_normalized_and_later_ones_are_not_built():
    x = torch.randn(1, 3, 32, 32)
    model = build(out_indices=(1, 2))
    middle, last = model(x)
    tokens = last.flatten(2).transpose(1, 2)
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(1, 16), atol=1e-5, rtol=0)
    shallow = build(out_indices=1)
    assert len(shallow.layers) == 2 and shallow.norm is None
    missing = shallow.load_state_dict(model.state_dict(), strict=False)
    assert not missing.missing_keys
    torch.testing.assert_close(shallow(x)[0], middle)
    assert build(final_norm=False).norm is None


def test_images_of_a_batch_do_not_see_each_other():
    model, x = build(), torch.randn(3, 3, 32, 40)
    torch.testing.assert_close(model(x)[0][1:2], model(x[1:2])[0])


def test_drop_path_rates_grow_to_the_last_layer_and_zero_is_exact():
    model = build(drop_path_rate=0.4)
    rates = [layer.drop_path.drop_prob for layer in model.layers]
    assert rates == pytest.approx([0, 0.2, 0.4])
    model, x = build(), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model.train()(x)[0], model.eval()(x)[0])


@pytest.mark.parametrize('attention', ['learned', 'token', 'softmax'])
def test_every_parameter_gets_a_finite_gradient(attention):
    model = build(attention=attention, extra_tokens=('cls',)).train()
    model(torch.randn(2, 3, 32, 32))[0].square().sum().backward()
    for name, param in model.named_parameters():
        assert torch.isfinite(param.grad).all(), name


def test_recomputation_gives_the_same_gradients():
    model, x = build().train(), torch.randn(2, 3, 32, 32)
    twin = copy.deepcopy(model)
    twin.with_cp = True
    for each in (model, twin):
        each(x)[0].square().sum().backward()
    for param, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(param.grad, other.grad)


@pytest.mark.parametrize('frozen', [-1, 0, 2])
def test_frozen_stages_stay_frozen_after_train(frozen):
    model = build(frozen_stages=frozen, extra_tokens=('cls',))
    model.train()
    embedding = (model.patch_embed.projection.weight, model.pos_embed, model.cls_token)
    assert all(p.requires_grad == (frozen < 0) for p in embedding)
    for i, layer in enumerate(model.layers):
        assert layer.training == (i >= frozen)
        assert all(p.requires_grad == (i >= frozen) for p in layer.parameters())


def test_deploy_form_is_exact_and_survives_the_state_dict():
    model, x = build(), torch.randn(2, 3, 40, 56)
    want = model(x)[0]
    deployed = copy.deepcopy(model)
    deployed.switch_to_deploy()
    torch.testing.assert_close(deployed(x)[0], want, rtol=1e-5, atol=1e-5)
    for source in (model, deployed):
        fresh = build(deploy=True)
        fresh.load_state_dict(source.state_dict(), strict=True)
        torch.testing.assert_close(fresh(x)[0], want, rtol=1e-5, atol=1e-5)
    with pytest.raises(RuntimeError, match='anchors'):
        build().load_state_dict(deployed.state_dict(), strict=True)


def test_attention_without_a_folded_form_ignores_deploy():
    model, x = build(attention='softmax', deploy=True), torch.randn(1, 3, 8, 8)
    want = model(x)[0]
    model.switch_to_deploy()
    assert torch.equal(model(x)[0], want)


def test_attention_config_wins_over_the_backbones_arguments():
    cfg = dict(type='mmanchor.LearnedAnchorAttention', num_anchors=7)
    model = build(attention=cfg, num_anchors=4)
    assert model.layers[0].attn.anchors.shape == (7, 16)
    assert cfg == dict(type='mmanchor.LearnedAnchorAttention', num_anchors=7)


def test_checkpoints_of_another_image_size_load():
    small, large = build(), build(img_size=(64, 32))
    state = small.state_dict()
    large.load_state_dict(state, strict=True)
    assert large.pos_embed.shape == (1, 32, 32)
    assert state['pos_embed'].shape == (1, 16, 32)
    # The map of 8 x 4 goes back to 4 x 4, distinguished by the model's ratio.
    other = build(img_size=(128, 64))
    other.load_state_dict(large.state_dict(), strict=True)
    back = build(img_size=(64, 32))
    back.load_state_dict(other.state_dict(), strict=True)
    torch.testing.assert_close(back.pos_embed, large.pos_embed, rtol=0, atol=0.02)


def test_a_classifiers_position_embedding_loses_its_extra_tokens():
    classifier = build(extra_tokens=('cls', 'dist'), out_type='tokens')
    dense = build()
    result = dense.load_state_dict(classifier.state_dict(), strict=False)
    assert sorted(result.unexpected_keys) == ['cls_token', 'dist_token']
    assert not result.missing_keys
    torch.testing.assert_close(dense.pos_embed, classifier.pos_embed[:, 2:])


def test_a_model_of_another_width_is_refused():
    other = AnchorFormer(dict(ARCH, embed_dims=48), img_size=48, patch_size=8, num_anchors=4)
    with pytest.raises(RuntimeError, match='size mismatch for pos_embed'):
        build().load_state_dict(other.state_dict())


def test_larger_images_resize_the_position_embedding():
    model = build()
    torch.nn.init.zeros_(model.patch_embed.projection.weight)
    model.layers = torch.nn.ModuleList()
    embedding = model._position_embedding((8, 8))
    assert embedding.shape == (1, 64, 32)
    assert torch.equal(model._position_embedding((4, 4)), model.pos_embed)


def test_layer_depth_counts_from_the_embedding_to_the_heads():
    model = build(extra_tokens=('cls',))
    depth = {
        name: model.get_layer_depth(f'backbone.{name}', 'backbone.')
        for name, _ in model.named_parameters()
    }
    assert depth['cls_token'] == depth['pos_embed'] == (0, 5)
    assert depth['patch_embed.projection.weight'] == (0, 5)
    assert depth['layers.0.attn.anchors'] == (1, 5)
    assert depth['layers.2.norm1.weight'] == (3, 5)
    assert depth['norm.weight'] == (4, 5)
    assert model.get_layer_depth('decode_head.x', 'backbone.') == (4, 5)


def test_building_twice_gives_the_same_names():
    first, second = build(), build()
    assert list(first.state_dict()) == list(second.state_dict())


def test_initialization():
    model = AnchorFormer('tiny', extra_tokens=('cls',))
    model.init_weights()
    assert model.pos_embed.std().item() == pytest.approx(0.02, rel=0.05)
    weight = model.layers[3].mlp.layers[0][0].weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.smoke
def test_pretrained_weights_load_through_init_cfg(tmp_path):
    source = build()
    path = tmp_path / 'backbone.pth'
    torch.save(dict(state_dict=source.state_dict()), path)
    model = build(init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    for key, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


@pytest.mark.smoke
def test_nothing_reads_signatures_while_running():
    """As mmcv's deprecation warnings do, which old compilers refuse."""
    for module in build().modules():
        assert not hasattr(module.forward, '__wrapped__'), type(module)


def test_compiles_to_one_graph_under_autocast():
    model, x = build(), torch.randn(1, 3, 40, 32)
    compiled = torch.compile(model, fullgraph=True, backend='eager')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        torch.testing.assert_close(compiled(x)[0], model(x)[0])


@pytest.mark.slow
@exports_open_sizes
def test_exports_with_any_height_and_width():
    model = build(out_indices=(1, 2))
    height = torch.export.Dim('height', min=16, max=4096)
    width = torch.export.Dim('width', min=16, max=4096)
    program = torch.export.export(
        model, (torch.randn(1, 3, 40, 56),), dynamic_shapes=({2: height, 3: width},)
    )
    for size in ((32, 32), (64, 24), (41, 33)):
        x = torch.randn(1, 3, *size)
        for got, want in zip(program.module()(x), model(x), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(arch='huge'), "arch must be one of .*'tiny'.* got 'huge'"),
        (dict(arch=dict(embed_dims=32)), 'missing: .*num_heads'),
        (dict(arch=dict(ARCH, depth=2)), "unknown: .*'depth'"),
        (dict(attention='linear'), "attention must be one of .* got 'linear'"),
        (dict(attention=dict(type='mmanchor.Nothing')), 'unknown type'),
        (dict(out_indices=(0, 3)), r'out_indices must be within -3 and 2'),
        (dict(out_indices=(2, 1)), 'out_indices must increase'),
        (dict(out_indices=()), 'out_indices'),
        (dict(out_type='map'), "out_type must be one of .* got 'map'"),
        (dict(out_type='tokens'), "'tokens' needs extra_tokens"),
        (dict(out_type='cls_token'), r"'cls_token' needs extra_tokens such as \('cls',\)"),
        (dict(extra_tokens=('dist',)), 'extra_tokens must be one of'),
        (dict(frozen_stages=4), 'frozen_stages must be -1 .* got 4'),
        (dict(img_size=4), r'img_size=\(4, 4\) is smaller than a patch'),
        (dict(num_anchors=0), 'num_anchors must be at least 1'),
    ],
)
def test_arguments_out_of_range_are_refused(kwargs, message):
    kwargs = dict(dict(arch=ARCH, img_size=32, patch_size=8), **kwargs)
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='AnchorFormer', **kwargs))


@pytest.mark.parametrize('name', ['AnchorFormer', 'Sparsifiner'])
@pytest.mark.parametrize('size', [(15, 64), (64, 8)])
def test_images_smaller_than_a_patch_are_refused(name, size):
    model = MODELS.build(dict(type=f'mmanchor.{name}', arch='tiny'))
    shape = ' x '.join(map(str, size))
    with pytest.raises(ValueError, match=f'16 x 16 pixels.*got {shape}'):
        model(torch.rand(1, 3, *size))


def test_patches_of_no_size_are_refused():
    with pytest.raises(ValueError, match=r'patch_size must be .* got 0'):
        AnchorFormer('tiny', patch_size=0)
