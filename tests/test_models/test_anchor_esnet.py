import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import save_checkpoint

from mmanchor.models import AnchorESNet, ESNet

SMALL = dict(scale=0.25, num_anchors=4, head_dims=32)


@pytest.fixture
def messages():
    """What MMEngine's logger says."""
    said = []

    class Keep(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())

    logger, handler = MMLogger.get_current_instance(), Keep()
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)


def build(cls=AnchorESNet, seed=0, **kwargs):
    torch.manual_seed(seed)
    model = cls(**{**SMALL, **kwargs}) if cls is AnchorESNet else cls(SMALL['scale'], **kwargs)
    model.init_weights()
    return model


@pytest.mark.parametrize(
    'stages, replaced', [((2,), (2,)), ((-1,), (2,)), ((1, 2), (1, 2)), (1, (1,))]
)
def test_only_stride_one_blocks_of_the_chosen_stages_are_replaced(stages, replaced):
    model, plain = build(anchor_stages=stages), build(ESNet)
    for index, (stage, twin) in enumerate(zip(model.stages, plain.stages, strict=True)):
        if index in replaced:
            assert len(stage.blocks) == len(twin) - 1
            assert {k: v.shape for k, v in stage.down.state_dict().items()} == {
                k: v.shape for k, v in twin[0].state_dict().items()
            }
        else:
            assert stage.state_dict().keys() == twin.state_dict().keys()


@pytest.mark.parametrize('height, width', [(64, 96), (33, 70), (32, 32)])
@pytest.mark.parametrize('stages', [(2,), (1, 2)])
def test_maps_have_the_sizes_of_esnets(height, width, stages):
    x = torch.rand(2, 3, height, width)
    maps = build(anchor_stages=stages).eval()(x)
    expected = build(ESNet).eval()(x)
    assert [each.shape for each in maps] == [each.shape for each in expected]


def test_the_last_map_has_unit_variance():
    out = build().train()(torch.rand(2, 3, 64, 64))[-1]
    torch.testing.assert_close(
        out.var(1, unbiased=False), torch.ones_like(out[:, 0]), atol=1e-2, rtol=0
    )


@pytest.mark.parametrize(
    'name, kind',
    [
        ('learned', 'LearnedAnchorAttention'),
        ('token', 'TokenAnchorAttention'),
        ('softmax', 'SoftmaxAttention'),
    ],
)
def test_attention_comes_from_the_config(name, kind):
    model = build(attention=name)
    blocks = model.stages[2].blocks
    assert {type(block.attn).__name__ for block in blocks} == {kind}
    model(torch.rand(2, 3, 64, 96))
    custom = build(attention=dict(type=f'mmanchor.{kind}', depthwise=True))
    assert custom.stages[2].blocks[0].attn.depthwise is not None


def test_arguments_reach_the_blocks():
    model = build(
        num_anchors=7,
        head_dims=16,
        mlp_ratio=3,
        drop_path_rate=0.25,
        token_norm_cfg=dict(type='LN', eps=0.5),
    )
    block = model.stages[2].blocks[1]
    assert block.attn.anchors.shape == (7, 16)
    assert block.mlp.layers[0][0].out_features == 3 * 128
    assert block.drop_path.drop_prob == 0.25
    assert block.norm1.eps == model.stages[2].norm.eps == 0.5


def test_the_deploy_form_gives_the_same_maps():
    model = build().eval()
    x = torch.rand(1, 3, 64, 64)
    expected = model(x)
    folded = build(seed=1, deploy=True).eval()
    folded.load_state_dict(model.state_dict())
    model.switch_to_deploy()
    assert model.state_dict().keys() == folded.state_dict().keys()
    for maps in (folded(x), model(x)):
        for ours, theirs in zip(maps, expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_attention_without_a_deploy_form_stays():
    model = build(attention='softmax')
    before = list(model.state_dict())
    model.switch_to_deploy()
    assert list(model.state_dict()) == before


def test_images_of_a_batch_do_not_touch_each_other():
    model = build(anchor_stages=(1, 2)).double().eval()
    x = torch.rand(3, 3, 32, 64, dtype=torch.float64)
    order = [2, 0, 1]
    for ours, expected in zip(model(x[order]), model(x), strict=True):
        torch.testing.assert_close(ours, expected[order])


def test_building_twice_gives_the_same_names():
    assert list(build().state_dict()) == list(build(seed=1).state_dict())


@pytest.mark.slow
def test_exports_with_any_multiple_of_32():
    # torch exports max-pooling for even sides or for odd ones, not for both.
    model = build().eval()
    sides = {
        2: 32 * torch.export.Dim('height', min=2, max=128),
        3: 32 * torch.export.Dim('width', min=2, max=128),
    }
    program = torch.export.export(model, (torch.rand(1, 3, 64, 96),), dynamic_shapes=(sides,))
    for size in ((64, 64), (96, 160)):
        x = torch.rand(1, 3, *size)
        for ours, expected in zip(program.module()(x), model(x), strict=True):
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_every_parameter_gets_a_finite_gradient():
    model = build(anchor_stages=(1, 2))
    sum(out.square().sum() for out in model(torch.rand(2, 3, 64, 64))).backward()
    for name, param in model.named_parameters():
        assert param.grad is not None and param.grad.isfinite().all(), name


def test_freezing_survives_train():
    model = build(frozen_stages=3).train()
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(m.training for m in model.stages.modules() if not list(m.children()))


def test_esnets_weights_reach_what_is_kept(tmp_path, messages):
    source = build(ESNet, seed=1)
    path = str(tmp_path / 'esnet.pth')
    save_checkpoint(dict(state_dict=source.state_dict()), path)
    init_cfg = dict(type='Pretrained', checkpoint=path)
    model = build(seed=2, init_cfg=init_cfg)
    plain = build(seed=2)
    kept = dict(stem=source.stem)
    kept.update({f'stages.{i}': source.stages[i] for i in (0, 1)})
    kept['stages.2.down'] = source.stages[2][0]
    for name, part in kept.items():
        for key, value in part.state_dict().items():
            ours = model.state_dict()[f'{name}.{key}']
            assert torch.equal(ours, value), (name, key)
    # What is replaced starts as it does without a checkpoint.
    for name in ('blocks', 'norm'):
        ours = getattr(model.stages[2], name).state_dict()
        for key, value in getattr(plain.stages[2], name).state_dict().items():
            assert torch.equal(ours[key], value), key
    assert model.stages[2].blocks[0].attn.proj.weight.std().item() < 0.03
    (line,) = [line for line in messages if line.startswith('AnchorESNet')]
    assert 'no transformer blocks for stages 2; they keep their init' in line
    assert not any('missing' in line or 'unexpected' in line for line in messages)


def test_a_detectors_backbone_is_found_by_its_prefix(tmp_path):
    source = build(ESNet, seed=1)
    state = {f'backbone.{k}': v for k, v in source.state_dict().items()}
    state['neck.weight'] = torch.zeros(1)
    path = str(tmp_path / 'detector.pth')
    save_checkpoint(dict(state_dict=state), path)
    cfg = dict(type='Pretrained', checkpoint=path, prefix='backbone.')
    model = build(init_cfg=cfg)
    assert torch.equal(model.stem.conv.weight, source.stem.conv.weight)
    with pytest.raises(
        ValueError, match=r"has no stem.conv.weight; .* missing.*prefix='backbone.'"
    ):
        build(init_cfg=dict(type='Pretrained', checkpoint=path))


def test_its_own_checkpoint_initializes_all_of_it(tmp_path, messages):
    source = build(seed=1)
    path = str(tmp_path / 'own.pth')
    save_checkpoint(dict(state_dict=source.state_dict()), path)
    model = build(seed=2, init_cfg=dict(type='Pretrained', checkpoint=path))
    for key, value in model.state_dict().items():
        assert torch.equal(value, source.state_dict()[key]), key
    assert not any(line.startswith('AnchorESNet') for line in messages)


def test_the_log_names_only_stages_without_weights(tmp_path, messages):
    source = build(seed=1)
    path = str(tmp_path / 'own.pth')
    save_checkpoint(dict(state_dict=source.state_dict()), path)
    model = build(seed=2, anchor_stages=(1, 2), init_cfg=dict(type='Pretrained', checkpoint=path))
    for key, value in source.stages[2].state_dict().items():
        assert torch.equal(model.stages[2].state_dict()[key], value), key
    (line,) = [line for line in messages if line.startswith('AnchorESNet')]
    assert 'blocks for stages 1; they keep' in line


def test_other_initializations_come_before_the_checkpoint(tmp_path):
    source = build(ESNet, seed=1)
    path = str(tmp_path / 'esnet.pth')
    save_checkpoint(dict(state_dict=source.state_dict()), path)
    model = build(
        init_cfg=[
            dict(type='Pretrained', checkpoint=path),
            dict(type='Constant', layer='LayerNorm', val=3.0),
        ]
    )
    assert (model.stages[2].norm.weight == 3).all()
    assert torch.equal(model.stem.conv.weight, source.stem.conv.weight)


def test_numbers_of_batches_may_be_missing(tmp_path, messages):
    state = {
        key: value
        for key, value in build(ESNet, seed=1).state_dict().items()
        if not key.endswith('num_batches_tracked')
    }
    path = str(tmp_path / 'esnet.pth')
    save_checkpoint(dict(state_dict=state), path)
    model = build(seed=2, init_cfg=dict(type='Pretrained', checkpoint=path))
    assert torch.equal(model.stem.conv.weight, state['stem.conv.weight'])
    assert not any('missing' in line for line in messages)


def test_esnets_weights_do_not_load_strictly():
    with pytest.raises(RuntimeError, match=r'Missing.*stages.2.blocks.0'):
        build().load_state_dict(build(ESNet).state_dict())


def test_without_a_checkpoint_convolutions_are_drawn_by_the_given_config():
    model = build(init_cfg=dict(type='Constant', layer='Conv2d', val=2.0))
    assert (model.stages[0][0].se.fc1.weight == 2).all()


def test_a_missing_layer_is_an_error(tmp_path):
    state = build(ESNet, seed=1).state_dict()
    del state['stages.1.2.se.fc1.weight']
    path = str(tmp_path / 'esnet.pth')
    save_checkpoint(dict(state_dict=state), path)
    init_cfg = dict(type='Pretrained', checkpoint=path)
    with pytest.raises(ValueError, match=r'no stages.1.2.se.fc1.weight; 1 of'):
        build(init_cfg=init_cfg)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(head_dims=48), 'head_dims=48 does not divide the width 128'),
        (dict(anchor_stages=(3,)), 'anchor_stages must be within -3 and 2'),
        (dict(out_indices=(0, 1)), r'anchor_stages=\(2,\) goes beyond the last'),
        (dict(attention='linear'), 'attention must be one of'),
        (dict(num_anchors=0), 'num_anchors must be at least 1'),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)
