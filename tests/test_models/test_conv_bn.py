"""Maps with batch normalization, folded and not."""

import pytest
import torch
from torch import nn

from mmanchor.models.layers import ConvBN, LinearBN

MAPS = [(ConvBN, (4, 8), (3, 4, 7, 6)), (LinearBN, (4, 8), (3, 5, 4))]


def trained(kind, args, shape):
    layer = kind(*args)
    nn.init.normal_(layer.bn.weight)
    nn.init.normal_(layer.bn.bias)
    for _ in range(3):
        layer(torch.randn(shape) * 2 + 1)
    return layer.eval()


@pytest.mark.parametrize('kind, args, shape', MAPS)
def test_it_normalizes_its_outputs_over_batch_and_places(kind, args, shape):
    out = kind(*args)(torch.randn(shape) * 3 + 2)
    channels = out.transpose(0, 1 if kind is ConvBN else 2).flatten(1)
    torch.testing.assert_close(channels.mean(1), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(channels.var(1, correction=0), torch.ones(8), atol=1e-3, rtol=0)


@pytest.mark.parametrize('kind, args, shape', MAPS)
def test_folding_changes_nothing_but_the_parameters(kind, args, shape):
    layer, x = trained(kind, args, shape), torch.randn(shape)
    want = layer(x)
    layer.linear.requires_grad_(False)
    for _ in range(2):
        layer.switch_to_deploy()
        torch.testing.assert_close(layer(x), want, rtol=1e-5, atol=1e-5)
    assert set(layer.state_dict()) == {'linear.weight', 'linear.bias'}
    assert not any(p.requires_grad for p in layer.parameters())


@pytest.mark.parametrize('kind, args, shape', MAPS)
def test_the_folded_form_loads_a_training_checkpoint(kind, args, shape):
    layer, x = trained(kind, args, shape), torch.randn(shape)
    folded = kind(*args)
    folded.switch_to_deploy()
    state = layer.state_dict()
    folded.load_state_dict(state)
    torch.testing.assert_close(folded(x), layer(x), rtol=1e-5, atol=1e-5)
    assert 'bn.weight' in state
    folded.load_state_dict(folded.state_dict())


def test_half_a_checkpoint_is_refused():
    folded = LinearBN(4, 8)
    folded.switch_to_deploy()
    state = LinearBN(4, 8).state_dict()
    del state['bn.running_var']
    with pytest.raises(RuntimeError, match=r'linear.bias'):
        folded.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r'size mismatch|Unexpected'):
        folded.load_state_dict(LinearBN(4, 9).state_dict())


def test_no_gain_gives_nothing():
    out = LinearBN(4, 8, gain=0.0)(torch.randn(2, 3, 4))
    assert torch.equal(out, torch.zeros(2, 3, 8))
