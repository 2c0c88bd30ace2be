"""Anchors' weights are read from every attention, in training and deploy form."""

import copy

import pytest
import torch
from torch.testing import assert_close

from mmanchor.explanation.capture import capture
from mmanchor.models import AnchorESNet, AnchorFormer, AnchorLeViT
from mmanchor.models.layers import LearnedAnchorAttention, TokenAnchorAttention
from mmanchor.utils.errors import UserError

SMALL = dict(embed_dims=32, num_layers=2, num_heads=2, mlp_ratio=1)


def captured(model, images):
    return capture(model, images, lambda: model(images))


def mixed_by_hand(mix, values):
    """What the attention makes of values (heads, N, D), one row after the other."""
    rows = [mix.sources(token)[1] for token in range(mix.query_assign.shape[1])]
    return torch.stack(rows, dim=1) @ values


@pytest.mark.parametrize(
    'attention',
    [
        LearnedAnchorAttention(32, 2, num_anchors=4),
        LearnedAnchorAttention(32, 2, num_anchors=4, per_head_anchors=True, learn_scale=True),
        LearnedAnchorAttention(32, 2, num_anchors=4, anchor_bias=True, anchor_links=True),
        TokenAnchorAttention(32, 2, num_anchors=4, num_refinements=2),
    ],
    ids=['shared', 'per head', 'linked', 'token'],
)
def test_the_weights_are_those_that_mix_the_values(attention):
    attention = attention.double().eval()
    x = torch.randn(1, 17, 32, dtype=torch.float64)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attn = attention

        def forward(self, images):
            return self.attn(x, (4, 4))

    network = Network()
    [layer] = captured(network, torch.zeros(1, 3, 64, 64))
    assert (layer.inputs.height, layer.inputs.width, layer.inputs.num_extra) == (4, 4, 1)
    with torch.no_grad():
        out, values = attention.mix(x, (4, 4))
    assert_close(mixed_by_hand(layer.mix, values[0].float()), out[0].float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'model',
    [
        AnchorFormer(SMALL, img_size=64, num_anchors=4, extra_tokens=('cls',)),
        AnchorESNet(num_anchors=4),
        AnchorLeViT('128s', num_anchors=4, img_size=64),
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_deploy_form_has_the_same_weights(model):
    model.init_weights()
    model.eval()
    images = torch.rand(1, 3, 64, 96)
    before = captured(model, images)
    deployed = copy.deepcopy(model)
    deployed.switch_to_deploy()
    after = captured(deployed, images)
    assert len(before) == len(after) > 1
    for one, other in zip(before, after, strict=True):
        assert one.name == other.name and one.inputs == other.inputs
        assert_close(one.mix.assign, other.mix.assign, rtol=1e-3, atol=1e-4)
        assert_close(one.mix.query_assign, other.mix.query_assign, rtol=1e-3, atol=1e-4)


def test_levit_subsamples_from_a_larger_map():
    model = AnchorLeViT('128s', num_anchors=4, img_size=64).eval()
    layers = captured(model, torch.rand(1, 3, 64, 96))
    [down, _] = [layer for layer in layers if layer.outputs != layer.inputs]
    assert (down.inputs.height, down.inputs.width, down.inputs.stride) == (4, 6, (16, 16))
    assert (down.outputs.height, down.outputs.width, down.outputs.stride) == (2, 3, (32, 32))
    assert down.mix.query_assign.shape == (8, 6, 4)


def test_bands_do_not_hide_the_anchors():
    model = AnchorFormer(SMALL, img_size=64, num_anchors=4, chunk_tokens=4).eval()
    assert len(captured(model, torch.rand(1, 3, 64, 64))) == 2
    assert model.chunk_tokens == 4


def test_a_model_without_anchors_is_refused():
    model = AnchorFormer(SMALL, img_size=32, attention='softmax').eval()
    with pytest.raises(UserError, match=r'the model has no anchors.*--method gradcam'):
        captured(model, torch.rand(1, 3, 32, 32))
