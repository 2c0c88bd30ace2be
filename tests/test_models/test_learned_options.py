"""What learned anchors can do beyond the paper: value residual, score scale, biases, links."""

import copy

import pytest
import torch
from torch import nn

from mmanchor.models import AnchorFormer
from mmanchor.models.layers import LearnedAnchorAttention

BOTH = dict(value_residual=True, learn_scale=True, anchor_bias=True)
ALL = dict(**BOTH, anchor_links=True)


def build(**kwargs):
    torch.manual_seed(0)
    layer = LearnedAnchorAttention(32, num_heads=2, num_anchors=4, **kwargs).double()
    for param in layer.parameters():
        nn.init.normal_(param, std=0.5)
    return layer


def test_they_start_as_the_papers_form():
    plain = LearnedAnchorAttention(32, num_heads=2, num_anchors=4)
    layer = LearnedAnchorAttention(32, num_heads=2, num_anchors=4, **BOTH)
    keys = layer.load_state_dict(plain.state_dict(), strict=False)
    assert sorted(keys.missing_keys) == ['anchor_bias', 'score_scale', 'value_residual']
    x = torch.randn(2, 9, 32)
    torch.testing.assert_close(layer(x), plain(x))


@pytest.mark.parametrize('per_head', [False, True])
def test_what_they_compute(per_head):
    layer = build(**ALL, per_head_anchors=per_head)
    x = torch.randn(2, 9, 32).double()
    keys, values = (
        part.unflatten(2, (2, 16)).transpose(1, 2) for part in layer.in_proj(x).chunk(2, dim=2)
    )
    want = []
    for h in range(2):
        anchors = layer.anchors[h] if per_head else layer.anchors
        scores = keys[:, h] @ anchors.T * layer.score_scale[h] / 4 + layer.anchor_bias[h]
        assign = scores.softmax(-1)  # (B, N, M)
        mass = assign.sum(1)
        # Each anchor takes from another by its link, once for each token.
        takes = layer.links[h].exp() * mass[:, None]
        takes = takes / takes.sum(-1, keepdim=True)
        matrix = assign @ takes @ (assign / mass[:, None]).mT
        torch.testing.assert_close(matrix.sum(-1), torch.ones(2, 9).double())
        want.append(matrix @ values[:, h] + layer.value_residual[h] * values[:, h])
    torch.testing.assert_close(layer(x), layer.proj(torch.cat(want, dim=2)))


@pytest.mark.parametrize(
    'kwargs', [ALL, dict(value_residual=True), dict(anchor_bias=True), dict(anchor_links=True)]
)
@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('depthwise', [False, True])
def test_the_deploy_form_is_exact(kwargs, bias, depthwise):
    layer = build(**kwargs, qkv_bias=bias, depthwise=depthwise)
    trained = copy.deepcopy(layer)
    x = torch.randn(2, 36, 32).double()
    want = trained(x, (6, 6))
    layer.switch_to_deploy()
    loaded = build(**kwargs, qkv_bias=bias, depthwise=depthwise, deploy=True)
    loaded.load_state_dict(trained.state_dict())
    assert list(loaded.state_dict()) == list(layer.state_dict())
    assert not {'score_scale', 'anchor_bias'} & layer.state_dict().keys()
    for form in (layer, loaded):
        torch.testing.assert_close(form(x, (6, 6)), want)


@pytest.mark.parametrize('deploy', [False, True])
@pytest.mark.parametrize('bias', [False, True])
def test_the_residual_is_one_projection_of_tokens(bias, deploy):
    layer = build(value_residual=True, qkv_bias=bias)
    x = torch.randn(2, 9, 32).double()
    if deploy:
        layer.switch_to_deploy()
    whole = layer(x)
    weight, offset = layer.residual_weights()
    nn.init.zeros_(layer.value_residual)
    torch.testing.assert_close(layer(x) + nn.functional.linear(x, weight, offset), whole)


def test_residual_weights_need_a_residual():
    with pytest.raises(ValueError, match='needs value_residual=True'):
        build().residual_weights()


def test_every_parameter_gets_a_finite_gradient():
    layer = build(**ALL)
    layer(torch.randn(1, 9, 32).double()).square().sum().backward()
    for name, param in layer.named_parameters():
        assert param.grad.isfinite().all() and param.grad.any(), name


@pytest.mark.parametrize('deploy', [False, True])
def test_they_are_exported(deploy):
    attention = dict(type='mmanchor.LearnedAnchorAttention', **ALL)
    arch = dict(embed_dims=32, num_layers=1, num_heads=2, mlp_ratio=2)
    model = AnchorFormer(arch, img_size=32, attention=attention, deploy=deploy).eval()
    x = torch.rand(1, 3, 32, 32)
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x), model(x))


def test_an_anchor_starts_with_most_of_its_own():
    layer = LearnedAnchorAttention(32, num_heads=2, num_anchors=30, anchor_links=True)
    assert layer.links[1, 3].softmax(-1)[3] > 0.8
