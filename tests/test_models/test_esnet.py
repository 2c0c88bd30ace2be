import pytest
import torch

from mmanchor.models import ESNet

RATIOS_M = (0.875, 0.5, 1, 0.625, 0.5, 0.75, 0.625, 0.625, 0.5, 0.625, 1, 0.625, 0.75)


@pytest.mark.parametrize(
    'scale, widths',
    [(0.75, (96, 192, 384)), (1.0, (128, 256, 512)), (1.25, (160, 320, 640)), (0.3, (48, 80, 160))],
)
def test_widths_are_multiples_of_sixteen_never_below_nine_tenths(scale, widths):
    with torch.device('meta'):
        model = ESNet(scale)
    assert model.out_channels == widths


def test_widths_inside_blocks_follow_the_ratios():
    with torch.device('meta'):
        model = ESNet(1.0, RATIOS_M)
    found = [
        block.se.fc1.in_channels * (2 if i == 0 else 1)
        for stage in model.stages
        for i, block in enumerate(stage)
    ]
    widths = [128] * 3 + [256] * 7 + [512] * 3
    assert found == [int(w * r) for w, r in zip(widths, RATIOS_M, strict=True)]


@pytest.mark.parametrize(
    'size, sides',
    [
        ((64, 96), ((8, 12), (4, 6), (2, 3))),
        ((33, 70), ((5, 9), (3, 5), (2, 3))),
        ((1, 1), ((1, 1),) * 3),
    ],
)
@pytest.mark.parametrize('out_indices', [(0, 1, 2), (1,), (0, -1)])
def test_maps_follow_out_indices(size, sides, out_indices):
    model = ESNet(0.25, out_indices=out_indices).eval()
    maps = model(torch.rand(2, 3, *size))
    widths = (32, 64, 128)
    assert [tuple(x.shape) for x in maps] == [(2, widths[i], *sides[i]) for i in out_indices]
    assert model.out_channels == tuple(widths[i] for i in out_indices)


def test_stages_after_the_last_output_are_not_built():
    assert len(ESNet(0.25, out_indices=1).stages) == 2


@pytest.mark.parametrize(
    'frozen, trainable',
    [(-1, {'stem', 's0', 's1', 's2'}), (0, {'s0', 's1', 's2'}), (2, {'s2'}), (3, set())],
)
def test_frozen_stages_stay_frozen_after_train(frozen, trainable):
    model = ESNet(0.25, frozen_stages=frozen).train()
    parts = dict(stem=model.stem)
    parts.update({f's{i}': stage for i, stage in enumerate(model.stages)})
    for name, part in parts.items():
        learns = name in trainable
        assert all(p.requires_grad == learns for p in part.parameters()), name
        assert all(m.training == learns for m in part.modules()), name


def test_norm_eval_keeps_the_statistics():
    before = ESNet(0.25, norm_eval=True)
    kept = {k: v.clone() for k, v in before.state_dict().items()}
    before.train()(torch.rand(2, 3, 64, 64))
    assert all(torch.equal(v, kept[k]) for k, v in before.state_dict().items())


def test_building_twice_gives_the_same_names():
    assert list(ESNet(0.25).state_dict()) == list(ESNet(0.25).state_dict())


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_pooling_is_plain_and_keeps_the_layout(layout):
    model = ESNet(0.3, out_indices=0).eval()
    seen = []
    model.stages[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.randn(2, 3, 37, 64).to(memory_format=layout)
    model.to(memory_format=layout)(images)
    assert torch.equal(seen[0], model.pool(model.stem(images)))
    assert seen[0].is_contiguous(memory_format=layout)


def test_images_of_a_batch_do_not_touch_each_other():
    model = ESNet(0.25).double().eval()
    x = torch.rand(3, 3, 32, 64, dtype=torch.float64)
    alone_maps = zip(*(model(i[None]) for i in x), strict=True)
    for together, alone in zip(model(x), alone_maps, strict=True):
        torch.testing.assert_close(together, torch.cat(alone))


def test_every_parameter_gets_a_finite_gradient():
    model = ESNet(0.25)
    sum(x.square().sum() for x in model(torch.rand(2, 3, 64, 64))).backward()
    for name, param in model.named_parameters():
        assert param.grad is not None and param.grad.isfinite().all(), name


def test_convolutions_start_as_he_draws_them():
    torch.manual_seed(0)
    model = ESNet()
    model.init_weights()
    weight = model.stages[2][0].conv_pw_2.conv.weight
    # Variance 2 / fan in.
    assert float(weight.std()) == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(scale=0), 'scale must be above 0, got 0'),
        (dict(ratios=(0.5,)), 'ratios must hold 13 numbers, one per block, got 1'),
        (dict(ratios=(0.5,) * 12 + (1.5,)), r'ratios must be in \(0, 1\]'),
        (dict(out_indices=(0, 3)), 'out_indices must be within -3 and 2'),
        (dict(frozen_stages=4), 'frozen_stages must be -1 .* to 3, got 4'),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ESNet(**kwargs)
