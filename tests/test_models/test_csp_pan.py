import pytest
import torch
import torch.nn.functional as F

from mmanchor.models import CSPPAN


def randomise(module):
    torch.manual_seed(0)
    for name, value in module.state_dict().items():
        if name.endswith('running_var'):
            value.copy_(torch.rand_like(value) + 0.5)
        elif value.is_floating_point():
            value.copy_(torch.randn_like(value) * 0.3)
    return module.double().eval()


def inputs(height=16, width=24, batch=2, dtype=torch.float64):
    sides = [(height, width)]
    for _ in range(2):
        sides.append(tuple(-(-side // 2) for side in sides[-1]))
    return [torch.randn(batch, 8 * 2**i, *side, dtype=dtype) for i, side in enumerate(sides)]


def test_maps_meet_in_the_stated_order():
    neck = randomise(CSPPAN((8, 16, 32), out_channels=16))
    x = inputs()
    c3, c4, c5 = (conv(each) for conv, each in zip(neck.reduce_convs, x, strict=True))

    def csp(layer, *maps):
        joined = torch.cat(maps, 1)
        main = layer.block(layer.main_conv(joined))
        return layer.final_conv(torch.cat((main, layer.short_conv(joined)), 1))

    def twice(each):
        return F.interpolate(each, scale_factor=2, mode='nearest')

    p4 = csp(neck.top_down_layers[0], twice(c5), c4)
    p3 = csp(neck.top_down_layers[1], twice(p4), c3)
    n4 = csp(neck.bottom_up_layers[0], neck.downsamples[0](p3), p4)
    n5 = csp(neck.bottom_up_layers[1], neck.downsamples[1](n4), c5)
    n6 = neck.extra_from_input(c5) + neck.extra_from_output(n5)
    for ours, expected in zip(neck(x), (p3, n4, n5, n6), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize('height, width', [(16, 24), (13, 7), (1, 1), (5, 32)])
def test_any_size_gives_the_sizes_of_the_inputs(height, width):
    x = inputs(height, width, dtype=torch.float32)
    outs = CSPPAN((8, 16, 32), out_channels=16).eval()(x)
    expected = [each.shape[2:] for each in x]
    expected.append(torch.Size(-(-side // 2) for side in expected[-1]))
    assert [out.shape[2:] for out in outs] == expected
    assert {out.shape[1] for out in outs} == {16}


def test_arguments_change_the_layers():
    neck = CSPPAN((8, 16), out_channels=12, kernel_size=3, act_cfg=dict(type='ReLU'))
    assert len(neck.top_down_layers) == len(neck.downsamples) == 1
    assert neck.downsamples[0].depthwise_conv.conv.kernel_size == (3, 3)
    assert not any(isinstance(m, torch.nn.Hardswish) for m in neck.modules())
    assert len(neck(inputs(dtype=torch.float32)[:2])) == 3


def test_every_parameter_gets_a_finite_gradient():
    neck = CSPPAN((8, 16, 32), out_channels=16)
    outs = neck(inputs(dtype=torch.float32))
    sum(out.square().sum() for out in outs).backward()
    for name, param in neck.named_parameters():
        assert param.grad is not None and param.grad.isfinite().all(), name


def test_building_twice_gives_the_same_names():
    names = [list(CSPPAN((8, 16, 32), out_channels=16).state_dict()) for _ in range(2)]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(out_channels=15), 'out_channels must be even and above 0, got 15'),
        (dict(out_channels=16, kernel_size=4), 'kernel_size must be odd, got 4'),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        CSPPAN((8, 16, 32), **kwargs)


def test_a_missing_map_is_an_error():
    with pytest.raises(ValueError, match=r'\(8, 16, 32\), got 2'):
        CSPPAN((8, 16, 32), out_channels=16)(inputs()[:2])
