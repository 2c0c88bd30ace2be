"""The three attentions: what each computes, and the deploy form."""

import copy

import pytest
import torch
from torch import nn

from mmanchor.models.layers import LearnedAnchorAttention, SoftmaxAttention, TokenAnchorAttention
from mmanchor.models.layers.learned_attention import FoldedWeights
from mmanchor.ops import anchor_attention, refine_anchors
from mmanchor.registry import MODELS

KINDS = [SoftmaxAttention, TokenAnchorAttention, LearnedAnchorAttention]


def build(kind, **kwargs):
    if kind is not SoftmaxAttention:
        kwargs.setdefault('num_anchors', 4)
    layer = kind(32, num_heads=2, **kwargs).double()
    layer.init_weights()
    return layer


def heads_of(projected, index):
    """(B, N, P * 32) -> (B, 2, N, 16), the index-th projection."""
    one = projected[..., 32 * index : 32 * (index + 1)]
    return one.unflatten(2, (2, 16)).transpose(1, 2)


def test_learned_anchors_project_keys_first_then_values():
    layer = build(LearnedAnchorAttention)
    x = torch.randn(2, 9, 32).double()
    both = x @ layer.in_proj.weight.T
    mixed = anchor_attention(heads_of(both, 0), heads_of(both, 1), layer.anchors)
    want = layer.proj(mixed.transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(x), want)


def test_softmax_attention_is_softmax_over_all_pairs():
    layer = build(SoftmaxAttention, qkv_bias=True)
    x = torch.randn(2, 9, 32).double()
    q, k, v = (heads_of(layer.in_proj(x), i) for i in range(3))
    mixed = (q @ k.transpose(-2, -1) / 4).softmax(-1) @ v
    want = layer.proj(mixed.transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(x), want)


def test_token_anchors_are_refined_queries_of_evenly_spread_tokens():
    layer = build(TokenAnchorAttention, num_refinements=2)
    x = torch.randn(2, 17, 32).double()  # one extra token and a 4 x 4 map
    q, k, v = (heads_of(layer.in_proj(x), i) for i in range(3))
    anchors = q[:, :, [1 + i for i in (5, 7, 13, 15)]]
    anchors = refine_anchors(k, refine_anchors(k, anchors))
    mixed = anchor_attention(k, v, anchors)
    want = layer.proj(mixed.transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(x, (4, 4)), want)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('extra', [0, 2])
def test_depthwise_branch_adds_a_convolution_of_the_values(kind, extra):
    layer = build(kind, depthwise=True)
    plain = copy.deepcopy(layer)
    plain.depthwise = None
    x = torch.randn(2, extra + 12, 32).double()
    values = x @ layer.in_proj.weight[-32:].T
    maps = values[:, extra:].transpose(1, 2).unflatten(2, (3, 4))
    local = layer.depthwise(maps).flatten(2).transpose(1, 2)
    local = nn.functional.pad(local, (0, 0, extra, 0)) @ layer.proj.weight.T
    torch.testing.assert_close(layer(x, (3, 4)), plain(x, (3, 4)) + local)
    with pytest.raises(ValueError, match='hw_shape'):
        layer(x)


@pytest.mark.parametrize('kind', KINDS)
def test_every_parameter_gets_a_finite_gradient(kind):
    layer = build(kind, depthwise=True, qkv_bias=True)
    layer(torch.randn(2, 12, 32).double(), (3, 4)).square().sum().backward()
    for name, param in layer.named_parameters():
        assert torch.isfinite(param.grad).all(), name
        # Equal shifts of all scores change no softmax: keys' and, through
        # them, nothing else may lack a gradient.
        assert name == 'in_proj.bias' or param.grad.abs().sum() > 0, name


@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('per_head', [False, True])
def test_deploy_form_is_exact(bias, per_head):
    layer = build(LearnedAnchorAttention, qkv_bias=bias, per_head_anchors=per_head)
    nn.init.normal_(layer.in_proj.weight)
    if bias:
        nn.init.normal_(layer.in_proj.bias)
    x = torch.randn(2, 9, 32).double()
    want = layer(x)
    layer.switch_to_deploy()
    torch.testing.assert_close(layer(x), want, rtol=1e-10, atol=1e-12)
    again = copy.deepcopy(layer.state_dict())
    layer.switch_to_deploy()
    assert again.keys() == layer.state_dict().keys()


@pytest.mark.parametrize(
    'means, change',
    [
        (True, dict()),
        (True, dict(qkv_bias=True, per_head_anchors=True)),
        (False, dict(depthwise=True)),
        (False, dict(num_anchors=40)),
        (False, dict(num_anchors=8)),
    ],
)
def test_deploy_form_is_exact_whether_it_projects_means_or_tokens(means, change, monkeypatch):
    calls, project = [], FoldedWeights.project

    def note(*args):
        calls.append(args)
        return project(*args)

    monkeypatch.setattr(FoldedWeights, 'project', note)
    layer = build(LearnedAnchorAttention, **change)
    nn.init.normal_(layer.in_proj.weight)
    x = torch.randn(2, 9, 32).double().requires_grad_()
    want = layer(x, (3, 3))
    (grad,) = torch.autograd.grad(want.sum(), [x])
    layer.switch_to_deploy()
    got = layer(x, (3, 3))
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad(got.sum(), [x])[0], grad, rtol=1e-9, atol=1e-11)
    assert bool(calls) == means


def test_deploy_form_stays_within_rounding_under_autocast():
    layer = build(LearnedAnchorAttention).float()
    x = torch.randn(2, 9, 32)
    want = layer(x)
    layer.switch_to_deploy()
    with torch.autocast('cpu', torch.bfloat16):
        got = layer(x)
    assert got.dtype == torch.bfloat16
    assert (got.float() - want).abs().max() < 0.02 * want.abs().max()


def test_deploy_form_replaces_c_keys_by_heads_times_m_scores():
    layer = build(LearnedAnchorAttention)
    layer.switch_to_deploy()
    assert layer.in_proj.weight.shape == (2 * 4 + 32, 32)
    assert 'anchors' not in layer.state_dict()


def test_a_deploy_layer_loads_both_forms():
    trained = build(LearnedAnchorAttention, qkv_bias=True)
    deployed = copy.deepcopy(trained)
    deployed.switch_to_deploy()
    x = torch.randn(2, 9, 32).double()
    for source in (trained, deployed):
        layer = build(LearnedAnchorAttention, qkv_bias=True, deploy=True)
        layer.load_state_dict(source.state_dict(), strict=True)
        torch.testing.assert_close(layer(x), trained(x))
    assert 'anchors' in trained.state_dict()


def test_initialization_is_deits_with_unit_anchors():
    layer = LearnedAnchorAttention(512, num_heads=4, num_anchors=64)
    layer.init_weights()
    for linear in (layer.in_proj, layer.proj):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert layer.proj.bias.abs().max() == 0
    assert layer.anchors.std().item() == pytest.approx(1, rel=0.05)
    small = LearnedAnchorAttention(512, 4, num_anchors=64, anchor_std=0.1)
    assert small.anchors.std().item() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    'kind, kwargs, message',
    [
        (SoftmaxAttention, dict(num_heads=3), 'num_heads must divide.*32'),
        (LearnedAnchorAttention, dict(num_anchors=0), 'num_anchors .*got 0'),
        (TokenAnchorAttention, dict(num_anchors=0), 'num_anchors .*got 0'),
        (TokenAnchorAttention, dict(num_refinements=-1), 'num_refinements'),
    ],
)
def test_arguments_out_of_range_are_refused(kind, kwargs, message):
    with pytest.raises(ValueError, match=message):
        kind(32, **dict(dict(num_heads=2), **kwargs))


def test_more_token_anchors_than_tokens_are_refused():
    with pytest.raises(ValueError, match=r'num_anchors=4 exceeds .* = 3'):
        build(TokenAnchorAttention)(torch.randn(1, 3, 32).double())


def test_learned_anchors_may_outnumber_the_tokens():
    layer = build(LearnedAnchorAttention, num_anchors=50)
    assert layer(torch.randn(1, 1, 32).double()).shape == (1, 1, 32)


def test_attentions_build_from_configs():
    cfg = dict(type='mmanchor.TokenAnchorAttention', embed_dims=32, num_heads=2)
    assert isinstance(MODELS.build(cfg), TokenAnchorAttention)
