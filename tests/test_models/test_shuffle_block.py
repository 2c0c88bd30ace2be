import pytest
import torch
import torch.nn.functional as F

from mmanchor.models import EnhancedShuffleBlock, EnhancedShuffleDownBlock


def randomise(module, seed=0):
    """Weights and statistics of normalizations that hide nothing."""
    torch.manual_seed(seed)
    for name, value in module.state_dict().items():
        if name.endswith('running_var'):
            value.copy_(torch.rand_like(value) + 0.5)
        elif value.is_floating_point():
            value.copy_(torch.randn_like(value) * 0.5)
    return module.double().eval()


def conv(x, part, stride=1, groups=1, act=True):
    """Convolution, normalization and x * relu6(x + 3) / 6."""
    weight, bn = part.conv.weight, part.bn
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
    shape = (1, -1, 1, 1)
    x = (x - bn.running_mean.view(shape)) / torch.sqrt(bn.running_var.view(shape) + 1e-5)
    x = x * bn.weight.view(shape) + bn.bias.view(shape)
    return x * (x + 3).clamp(0, 6) / 6 if act else x


def squeeze_excite(x, se):
    weight = x.mean((2, 3), keepdim=True)
    weight = F.conv2d(weight, se.fc1.weight, se.fc1.bias).relu()
    weight = F.conv2d(weight, se.fc2.weight, se.fc2.bias)
    return x * (weight / 6 + 0.5).clamp(0, 1)


def test_the_block_agrees_with_an_obvious_version():
    block = randomise(EnhancedShuffleBlock(12, mid_channels=16))
    x = torch.randn(2, 12, 5, 7, dtype=torch.float64)
    y = conv(x[:, 6:], block.conv_pw)
    y = torch.cat((y, conv(y, block.conv_dw, groups=8, act=False)), 1)
    y = conv(squeeze_excite(y, block.se), block.conv_linear)
    # Shuffled: the halves take turns.
    expected = torch.stack((x[:, :6], y), dim=2).flatten(1, 2)
    torch.testing.assert_close(block(x), expected, atol=1e-12, rtol=1e-12)


def test_the_block_of_stride_two_agrees_with_an_obvious_version():
    block = randomise(EnhancedShuffleDownBlock(6, 12, mid_channels=16))
    x = torch.randn(2, 6, 5, 8, dtype=torch.float64)
    a = conv(x, block.conv_dw_1, stride=2, groups=6, act=False)
    a = conv(a, block.conv_linear_1)
    b = conv(x, block.conv_pw_2)
    b = conv(b, block.conv_dw_2, stride=2, groups=8, act=False)
    b = conv(squeeze_excite(b, block.se), block.conv_linear_2)
    y = conv(torch.cat((a, b), 1), block.conv_dw_3, groups=12)
    expected = conv(y, block.conv_pw_3)
    assert expected.shape == (2, 12, 3, 4)
    torch.testing.assert_close(block(x), expected, atol=1e-12, rtol=1e-12)


BLOCKS = {
    'stride 1': lambda **cfg: EnhancedShuffleBlock(12, 16, **cfg),
    'stride 2': lambda **cfg: EnhancedShuffleDownBlock(12, 12, 16, **cfg),
}


@pytest.mark.parametrize('name', BLOCKS)
def test_images_of_a_batch_do_not_touch_each_other(name):
    block = randomise(BLOCKS[name]())
    x = torch.randn(3, 12, 5, 7, dtype=torch.float64)
    order = [2, 0, 1]
    torch.testing.assert_close(block(x[order]), block(x)[order])


@pytest.mark.parametrize('name', BLOCKS)
def test_every_parameter_gets_a_finite_gradient(name):
    block = BLOCKS[name]()
    block(torch.randn(2, 12, 5, 7)).square().sum().backward()
    for key, param in block.named_parameters():
        assert param.grad is not None and param.grad.isfinite().all(), key
        assert param.grad.any(), key


@pytest.mark.parametrize('name', BLOCKS)
def test_arguments_change_the_layers(name):
    block = BLOCKS[name](norm_cfg=dict(type='BN', eps=0.5), act_cfg=dict(type='LeakyReLU'))
    kinds = [type(module) for module in block.modules()]
    assert torch.nn.LeakyReLU in kinds and torch.nn.Hardswish not in kinds
    assert {
        module.eps for module in block.modules() if isinstance(module, torch.nn.BatchNorm2d)
    } == {0.5}
