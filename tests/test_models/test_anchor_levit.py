"""AnchorLeViT: sizes, shapes, freezing, deploying and checkpoints."""

import pytest
import torch
from levit_models import ARCH, live, pictures
from torch_versions import exports_open_sizes

from mmanchor.models import AnchorLeViT
from mmanchor.registry import MODELS

ATTENTIONS = ('learned', 'softmax')


def build(attention='learned', **kwargs):
    kwargs = dict(img_size=96, num_anchors=6) | kwargs
    return AnchorLeViT(ARCH, attention=attention, **kwargs)


def count(model):
    return sum(param.numel() for param in model.parameters())


# timm's numbers; LeViT's authors publish them as 7.8M, 9.2M, 11M, 19M and 39M.
# Both classifiers have a batch norm and a linear layer each.
@pytest.mark.parametrize(
    'arch, width, params',
    [
        ('128s', 384, 7_777_058),
        ('128', 384, 9_213_936),
        ('192', 384, 10_947_069),
        ('256', 512, 18_893_876),
        ('384', 768, 39_128_836),
    ],
)
def test_the_softmax_twin_has_the_published_size(arch, width, params):
    with torch.device('meta'):
        model = AnchorLeViT(arch, attention='softmax')
    heads = 2 * (2 * width + 1000 * width + 1000)
    assert count(model) + heads == params


@pytest.mark.parametrize('attention', ATTENTIONS)
@pytest.mark.parametrize(
    'size, sides',
    [
        ((96, 96), ((6, 6), (3, 3), (2, 2))),
        ((64, 112), ((4, 7), (2, 4), (1, 2))),
        ((33, 16), ((3, 1), (2, 1), (1, 1))),
    ],
)
@pytest.mark.parametrize('out_indices', [(0, 1, 2), (1,), -1])
def test_maps_follow_out_indices_at_any_size(attention, size, sides, out_indices):
    model = build(attention, out_indices=out_indices).eval()
    maps = model(torch.rand(2, 3, *size))
    chosen = (2,) if out_indices == -1 else out_indices
    widths = ARCH['embed_dims']
    assert [tuple(x.shape) for x in maps] == [(2, widths[i], *sides[i]) for i in chosen]
    assert model.out_channels == tuple(widths[i] for i in chosen)
    assert len(model.stages) == chosen[-1] + 1


@pytest.mark.parametrize('attention', ATTENTIONS)
def test_the_mean_of_a_map_is_what_avg_featmap_gives(attention):
    model = live(build(attention))
    x = torch.rand(2, 3, 96, 64)
    want = model(x)[0].mean(dim=(2, 3))
    model.out_type = 'avg_featmap'
    torch.testing.assert_close(model(x)[0], want)


@pytest.mark.parametrize('attention', ATTENTIONS)
@pytest.mark.parametrize('num_anchors', [6, 30])
def test_deploying_is_exact_and_loads_training_checkpoints(attention, num_anchors):
    model = live(build(attention, num_anchors=num_anchors, out_indices=(0, 2)))
    # In float64: a model as small as this one enlarges other rounding.
    model, x = model.double(), pictures(2, (96, 80)).double()
    want, before = model(x), count(model)
    deployed = (
        build(attention, num_anchors=num_anchors, out_indices=(0, 2), deploy=True).eval().double()
    )
    deployed.load_state_dict(model.state_dict())
    model.switch_to_deploy()
    assert count(model) == count(deployed) != before
    for got in (model(x), deployed(x)):
        for a, b in zip(got, want, strict=True):
            assert (b[0] - b[1]).abs().max() > 0.1  # images tell
            torch.testing.assert_close(a, b, rtol=0, atol=1e-9)
    assert not any('bn' in name for name in model.state_dict())
    deployed.load_state_dict(model.state_dict())


@pytest.mark.parametrize('attention', ATTENTIONS)
def test_a_checkpoint_of_another_size_is_resized_as_images_are(attention):
    model = live(build(attention))
    other = build(attention, img_size=(64, 128)).eval()
    other.load_state_dict(model.state_dict())
    x = torch.randn(1, 3, 64, 128)
    torch.testing.assert_close(other(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('attention', ATTENTIONS)
def test_tokens_know_their_places_by_the_embedding_or_the_biases_alone(attention):
    model = live(build(attention, out_indices=0, out_type='avg_featmap'))
    model.stem = torch.nn.MaxPool2d(16)
    x = torch.randn(1, 16, 6, 6)
    moved = x.flatten(2)[..., torch.randperm(36)].view_as(x)
    x, moved = (each.repeat_interleave(16, 2).repeat_interleave(16, 3) for each in (x, moved))
    assert (model(x)[0] - model(moved)[0]).abs().max() > 1e-2
    for name, param in model.named_parameters():
        if name.endswith(('pos_embed', 'attention_biases')):
            torch.nn.init.zeros_(param)
    torch.testing.assert_close(model(x), model(moved), rtol=0, atol=1e-5)


def test_a_position_embedding_can_be_chosen():
    assert build().pos_embed.shape == (1, 36, 16)
    assert build('softmax').pos_embed is None
    assert build(pos_embed=False).pos_embed is None
    assert build('softmax', pos_embed=True).pos_embed is not None
    model = build()
    model.init_weights()
    assert 0.01 < model.pos_embed.std() < 0.03


def test_heads_can_have_their_own_anchors():
    model = build(per_head_anchors=True, num_anchors=7)
    shapes = [block.attn.anchors.shape for block in model.stages[1]]
    assert shapes == [(2, 7, 8), (3, 7, 8)]
    assert build().stages[1][0].attn.anchors.shape == (6, 8)


@pytest.mark.parametrize(
    'frozen, trainable',
    [(-1, ('stem', 'pos', 's0', 's1', 's2')), (0, ('s0', 's1', 's2')), (2, ('s2',)), (3, ())],
)
def test_frozen_stages_stay_frozen_after_train(frozen, trainable):
    model = build(frozen_stages=frozen).train()
    assert model.pos_embed.requires_grad == ('pos' in trainable)
    parts = dict(stem=model.stem)
    parts.update({f's{i}': stage for i, stage in enumerate(model.stages)})
    for name, part in parts.items():
        learns = name in trainable
        assert all(p.requires_grad == learns for p in part.parameters()), name
        assert all(m.training == learns for m in part.modules()), name


def test_norm_eval_keeps_the_statistics():
    model = build(norm_eval=True).train()
    before = model.stem[0].bn.running_mean.clone()
    model(torch.rand(2, 3, 96, 96))
    assert torch.equal(model.stem[0].bn.running_mean, before)
    assert model.stages[0][0].mlp.training


def test_drop_path_leaves_branches_out_in_training_alone():
    model = live(build(drop_path_rate=0.5))
    x = torch.randn(1, 3, 96, 96)
    assert torch.equal(model(x)[0], model(x)[0])
    for block in model.modules():
        if isinstance(block, torch.nn.modules.batchnorm._BatchNorm):
            block.momentum = 0.0
    model.train()
    x = x.expand(16, -1, -1, -1)
    assert model(x)[0].std(dim=0).max() > 1e-3
    still = live(build()).train()
    assert still(x)[0].std(dim=0).max() < 1e-4


@pytest.mark.parametrize('attention', ATTENTIONS)
def test_every_parameter_learns(attention):
    model = live(build(attention)).train()
    model(torch.randn(2, 3, 96, 96))[0].square().mean().backward()
    for name, param in model.named_parameters():
        assert torch.isfinite(param.grad).all(), name
        assert param.grad.any(), name


@pytest.mark.slow
@exports_open_sizes
def test_exports_with_any_height_and_width_above_64():
    model = live(build(deploy=True))
    height = torch.export.Dim('height', min=65, max=4096)
    width = torch.export.Dim('width', min=65, max=4096)
    program = torch.export.export(
        model, (torch.rand(1, 3, 96, 80),), dynamic_shapes=({2: height, 3: width},)
    )
    x = torch.rand(1, 3, 71, 130)
    torch.testing.assert_close(program.module()(x)[0], model(x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.smoke
def test_it_is_registered_and_named_alike_each_time():
    cfg = dict(type='mmanchor.AnchorLeViT', arch=ARCH, img_size=64)
    first, second = MODELS.build(cfg), MODELS.build(cfg)
    assert list(first.state_dict()) == list(second.state_dict())
    second.load_state_dict(first.state_dict())


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(arch='512'), "arch must be one of .*'512'"),
        (dict(arch=dict(ARCH, depths=(1, 1))), 'depths must have one number .* 3 stages'),
        (dict(arch=dict(ARCH, depths=(1, 0, 1))), 'depths must be at least 1'),
        (dict(arch=dict(ARCH, num_heads=(0, 3, 2))), 'num_heads must be at least 1'),
        (dict(arch={k: v for k, v in ARCH.items() if k != 'key_dims'}), "missing: .'key_dims'"),
        (dict(arch=dict(ARCH, embed_dims=(12, 24, 32))), 'multiple of 8, got 12'),
        (dict(arch=dict(ARCH, key_dims=17)), 'key_dims must be 1 to 16, .* got 17'),
        (dict(attention='token'), "attention must be .*'softmax'.* got 'token'"),
        (dict(out_type='tokens'), "out_type must be .* got 'tokens'"),
        (dict(img_size=(15, 64)), 'smaller than a patch of 16'),
        (dict(num_anchors=0), 'num_anchors must be at least 1, got 0'),
        (dict(out_indices=3), 'out_indices must be within -3 and 2, got 3'),
        (dict(frozen_stages=4), 'frozen_stages must be -1 .* to 3, got 4'),
    ],
)
def test_what_does_not_fit_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        AnchorLeViT(**dict(arch=ARCH) | kwargs)


def test_images_smaller_than_the_stem_are_refused():
    model = AnchorLeViT('128s')
    with pytest.raises(ValueError, match=r'16 x 16 pixels.*got 15 x 64'):
        model(torch.rand(1, 3, 15, 64))
