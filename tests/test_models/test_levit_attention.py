"""LeViT's attentions against plain loops, and their deploy forms."""

import pytest
import torch
from torch import nn

from mmanchor.models.layers import LevitAnchorAttention, LevitSoftmaxAttention

HW = (3, 5)


def trained(kind, stride=1, embed_dims=32, **kwargs):
    if kind is LevitSoftmaxAttention:
        kwargs.setdefault('grid', HW)
    else:
        kwargs.setdefault('num_anchors', 5)
    layer = kind(
        embed_dims,
        2,
        8,
        value_dims=16,
        out_dims=24 if stride == 2 else None,
        stride=stride,
        **kwargs,
    )
    for name, param in layer.named_parameters():
        if name.endswith(('bn.weight', 'bn.bias', 'biases')):
            nn.init.normal_(param)
    for _ in range(3):
        layer(torch.randn(4, 15, embed_dims), HW)
    return layer.eval()


def parts(layer, x):
    """Queries (of a subsampling), keys and values by head, in float64."""
    projected = layer.in_proj(x).double().unflatten(2, (2, -1))
    queries = None
    if layer.stride == 2:
        kept = x.view(-1, *HW, x.shape[2])[:, ::2, ::2].flatten(1, 2)
        queries = layer.query_proj(kept).double().unflatten(2, (2, 8))
    return queries, projected[..., :-16], projected[..., -16:]


def finish(layer, mixed):
    return layer.proj(nn.functional.hardswish(mixed.float()))


@pytest.mark.parametrize('stride', [1, 2])
def test_softmax_attention_is_the_loop_over_queries_and_keys(stride):
    layer, x = trained(LevitSoftmaxAttention, stride), torch.randn(2, 15, 32)
    queries, keys, values = parts(layer, x)
    if queries is None:
        queries, keys = keys[..., :8], keys[..., 8:]
    places = [(y, z) for y in range(0, 3, stride) for z in range(0, 5, stride)]
    mixed = torch.empty(2, len(places), 32, dtype=torch.float64)
    for head in range(2):
        for i, (y, z) in enumerate(places):
            bias = torch.stack(
                [
                    layer.attention_biases[head, 5 * abs(y - j // 5) + abs(z - j % 5)]
                    for j in range(15)
                ]
            )
            scores = (
                torch.einsum('bd,bnd->bn', queries[:, i, head], keys[:, :, head]) / 8**0.5 + bias
            )
            mixed[:, i, 16 * head : 16 * head + 16] = torch.einsum(
                'bn,bnd->bd', scores.softmax(1), values[:, :, head]
            )
    got, hw_out = layer(x, HW)
    assert hw_out == ((3, 5) if stride == 1 else (2, 3))
    torch.testing.assert_close(got, finish(layer, mixed), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('per_head', [False, True])
def test_anchor_attention_is_the_dense_matrix_times_the_values(stride, per_head):
    layer = trained(LevitAnchorAttention, stride, per_head_anchors=per_head)
    x = torch.randn(2, 15, 32)
    queries, keys, values = parts(layer, x)
    queries = keys if queries is None else queries
    mixed = torch.empty(2, queries.shape[1], 32, dtype=torch.float64)
    for head in range(2):
        anchors = layer.anchors[head] if per_head else layer.anchors
        a_q, a_k = (
            (tokens[:, :, head] @ anchors.double().T / 8**0.5).softmax(-1)
            for tokens in (queries, keys)
        )
        matrix = a_q @ torch.diag_embed(1 / a_k.sum(1)) @ a_k.transpose(1, 2)
        mixed[..., 16 * head : 16 * head + 16] = matrix @ values[:, :, head]
    torch.testing.assert_close(layer(x, HW)[0], finish(layer, mixed), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('per_head', [False, True])
@pytest.mark.parametrize('num_anchors, folds', [(10, True), (11, False)])
def test_deploying_is_exact_and_folds_anchors_where_that_is_cheaper(
    stride, per_head, num_anchors, folds
):
    # 10 * (32 - 8) < 32 * 8 = 256 < 11 * (32 - 8).
    args = dict(num_anchors=num_anchors, per_head_anchors=per_head)
    layer = trained(LevitAnchorAttention, stride, **args)
    x = torch.randn(2, 15, 32)
    want, state = layer(x, HW)[0], layer.state_dict()
    folded = trained(LevitAnchorAttention, stride, **args)
    folded.switch_to_deploy()
    folded.load_state_dict(state)
    for _ in range(2):
        layer.switch_to_deploy()
        torch.testing.assert_close(layer(x, HW)[0], want, rtol=0, atol=1e-5)
    torch.testing.assert_close(folded(x, HW)[0], want, rtol=0, atol=1e-5)
    names = set(layer.state_dict())
    assert ('anchors' not in names) == folds
    assert not any('bn' in name for name in names)
    folded.load_state_dict(layer.state_dict())


def test_a_checkpoint_with_other_anchors_is_refused():
    folded = trained(LevitAnchorAttention)
    folded.switch_to_deploy()
    other = trained(LevitAnchorAttention, num_anchors=6).state_dict()
    with pytest.raises(RuntimeError, match=r'anchors|size mismatch'):
        folded.load_state_dict(other)


def test_biases_of_another_map_are_stretched_the_ends_kept():
    layer = trained(LevitSoftmaxAttention)
    ramp = torch.arange(3.0)[:, None] * 10 + torch.arange(5.0)
    layer.attention_biases.data.copy_(ramp.flatten().expand(2, 15))
    bias = layer.position_bias((5, 9))[0]
    assert bias.shape == (45, 45)
    # Between the first token and the last: the largest offsets, 2 and 4.
    torch.testing.assert_close(bias[0, 0], torch.tensor(0.0))
    torch.testing.assert_close(bias[0, 44], torch.tensor(24.0))
    torch.testing.assert_close(bias, bias.T)
    larger = trained(LevitSoftmaxAttention, grid=(5, 9))
    larger.load_state_dict(layer.state_dict())
    torch.testing.assert_close(larger.position_bias((5, 9))[0], bias)


def test_a_table_of_no_map_is_refused():
    layer = trained(LevitSoftmaxAttention)
    state = layer.state_dict()
    state['attention_biases'] = torch.zeros(2, 7)
    with pytest.raises(RuntimeError, match='attention_biases'):
        layer.load_state_dict(state)


@pytest.mark.parametrize('kind', [LevitSoftmaxAttention, LevitAnchorAttention])
def test_a_residual_branch_starts_as_nothing_and_a_subsampling_does_not(kind):
    more = dict(grid=HW) if kind is LevitSoftmaxAttention else {}
    x = torch.randn(2, 15, 32)
    branch = kind(32, 2, 8, value_dims=16, **more)
    assert not branch(x, HW)[0].any()
    down = kind(32, 2, 8, value_dims=32, out_dims=24, stride=2, **more)
    assert down(x, HW)[0].abs().mean() > 0.1


@pytest.mark.parametrize('kind', [LevitSoftmaxAttention, LevitAnchorAttention])
@pytest.mark.parametrize('stride', [1, 2])
def test_every_parameter_learns(kind, stride):
    layer = trained(kind, stride).train()
    layer(torch.randn(3, 15, 32), HW)[0].square().mean().backward()
    for name, param in layer.named_parameters():
        assert torch.isfinite(param.grad).all(), name
        assert param.grad.any(), name


def test_anchors_may_outnumber_tokens_and_there_must_be_one():
    layer = trained(LevitAnchorAttention, num_anchors=40)
    assert torch.isfinite(layer(torch.randn(1, 15, 32), HW)[0]).all()
    with pytest.raises(ValueError, match=r'num_anchors must be .* got 0'):
        LevitAnchorAttention(32, 2, 8, value_dims=16, num_anchors=0)


def test_autocast_gives_finite_outputs_near_those_of_float32():
    layer, x = trained(LevitAnchorAttention, 2), torch.randn(2, 15, 32)
    want = layer(x, HW)[0]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        got = layer(x, HW)[0]
    assert (got - want).abs().max() < 0.05 * want.abs().max()
