"""Attention from queries to keys through anchors, against a dense matrix."""

import math

import pytest
import torch

from mmanchor.ops import anchor_attention, anchor_cross_attention, cross_attention_from_scores


def shares(tokens, anchors, scale=None):
    """A of tokens (B, heads, N, D), in float64."""
    scale = tokens.shape[-1] ** -0.5 if scale is None else scale
    scores = scale * tokens.double() @ anchors.double().transpose(-2, -1)
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True)


def dense_matrix(queries, keys, anchors, scale=None):
    """A_q Delta^-1 A_k^T, the Nq x N matrix that is never formed."""
    a_q, a_k = shares(queries, anchors, scale), shares(keys, anchors, scale)
    out = torch.empty(*keys.shape[:2], a_q.shape[2], a_k.shape[2]).double()
    for b in range(out.shape[0]):
        for h in range(out.shape[1]):
            mass = torch.diag(1 / a_k[b, h].sum(0))
            out[b, h] = a_q[b, h] @ mass @ a_k[b, h].T
    return out


def inputs(queries=11, keys=37, width=16, anchors=7, **kwargs):
    return (
        torch.randn(2, 3, queries, width, **kwargs),
        torch.randn(2, 3, keys, width, **kwargs),
        torch.randn(2, 3, keys, 2 * width, **kwargs),
        torch.randn(anchors, width, **kwargs),
    )


@pytest.mark.smoke
@pytest.mark.parametrize('shape', [(7, 16), (3, 7, 16), (2, 3, 7, 16)])
@pytest.mark.parametrize('scale', [None, 0.3])
def test_output_is_the_dense_matrix_times_the_values(shape, scale):
    queries, keys, values, _ = inputs(dtype=torch.float64)
    anchors = torch.randn(shape, dtype=torch.float64)
    got = anchor_cross_attention(queries, keys, values, anchors, scale=scale)
    want = dense_matrix(queries, keys, anchors, scale) @ values
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


def test_float32_is_within_rounding_of_the_reference():
    queries, keys, values, anchors = inputs(keys=500, anchors=30)
    got = anchor_cross_attention(queries, keys, values, anchors)
    want = dense_matrix(queries, keys, anchors) @ values.double()
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-6)


def test_worked_values_of_one_query_and_two_keys():
    # Scores ln 3 and 0 of the keys: A_k has rows (3/4, 1/4) and (1/4, 3/4),
    # so the anchors' means of the values 8 and 0 are 6 and 2. The query's
    # scores are 0 and ln 7: it takes them 1 to 7.
    anchors = math.log(3) * torch.eye(2)
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 1, 2, 2)
    query = torch.tensor([0.0, math.log(7) / math.log(3)]).view(1, 1, 1, 2)
    values = torch.tensor([8.0, 0.0]).view(1, 1, 2, 1)
    out = anchor_cross_attention(query, keys, values, anchors, scale=1.0)
    torch.testing.assert_close(out.flatten(), torch.tensor([2.5]))


def test_rows_sum_to_one_and_the_rank_is_at_most_m():
    queries, keys, _, anchors = inputs(anchors=5, dtype=torch.float64)
    identity = torch.eye(37, dtype=torch.float64).expand(2, 3, 37, 37)
    matrix = anchor_cross_attention(queries, keys, identity, anchors)
    assert (matrix >= 0).all()
    torch.testing.assert_close(matrix.sum(-1), torch.ones(2, 3, 11, dtype=torch.float64))
    assert torch.linalg.matrix_rank(matrix[0, 0]) == 5


def test_queries_that_are_the_keys_give_plain_anchor_attention():
    _, keys, values, anchors = inputs(dtype=torch.float64)
    torch.testing.assert_close(
        anchor_cross_attention(keys, keys, values, anchors), anchor_attention(keys, values, anchors)
    )


def test_a_subset_of_the_queries_gives_those_rows():
    queries, keys, values, anchors = inputs(dtype=torch.float64)
    whole = anchor_cross_attention(queries, keys, values, anchors)
    some = anchor_cross_attention(queries[:, :, ::3], keys, values, anchors)
    torch.testing.assert_close(some, whole[:, :, ::3])


def test_scores_alone_give_the_same_output():
    queries, keys, values, anchors = inputs(dtype=torch.float64)
    torch.testing.assert_close(
        cross_attention_from_scores(queries @ anchors.T / 4, keys @ anchors.T / 4, values),
        anchor_cross_attention(queries, keys, values, anchors),
    )


def test_gradients_agree_with_finite_differences():
    tensors = [
        x[:1, :2].clone() if x.dim() == 4 else x for x in inputs(3, 5, 3, 4, dtype=torch.float64)
    ]
    for tensor in tensors:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(anchor_cross_attention, tensors)


def test_an_anchor_that_every_key_shuns_still_has_means():
    queries, keys, values, anchors = inputs(1, 5, anchors=2)
    # float32 has no number for the shares exp(-1000) of the second anchor.
    anchors = torch.stack((torch.ones(16), -torch.ones(16)))
    keys = torch.full_like(keys, 125.0)
    queries = -keys[:, :, :1]
    for tensor in (queries, keys, anchors):
        tensor.requires_grad_()
    out = anchor_cross_attention(queries, keys, values, anchors)
    torch.testing.assert_close(out, values.mean(2, keepdim=True))
    out.square().sum().backward()
    for tensor in (queries, keys, anchors):
        assert torch.isfinite(tensor.grad).all()


@pytest.mark.parametrize('size', [1e-8, 1e4, 1e30])
@pytest.mark.parametrize('tokens', [1, 300])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_extreme_scores_give_finite_outputs_and_gradients(tokens, size, dtype):
    queries, keys, values, anchors = inputs(3, tokens, anchors=30)
    tensors = [queries * size, keys * size, values, anchors]
    tensors = [x.to(dtype).requires_grad_() for x in tensors]
    out = anchor_cross_attention(*tensors)
    out.float().square().sum().backward()
    assert out.dtype == dtype
    for x in (out, *(x.grad for x in tensors)):
        assert torch.isfinite(x).all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_does_not_lower_the_precision(dtype):
    tensors = inputs(keys=300, anchors=30)
    want = anchor_cross_attention(*tensors)
    with torch.autocast('cpu', dtype=dtype):
        assert torch.equal(anchor_cross_attention(*tensors), want)


@pytest.mark.parametrize(
    'queries, values, anchors, message',
    [
        ((3, 5, 8), (1, 3, 6, 9), (4, 8), 'queries must be .*Nq.* got .3, 5, 8'),
        ((1, 2, 5, 8), (1, 3, 6, 9), (4, 8), 'queries must be .* got .1, 2'),
        ((1, 3, 5, 7), (1, 3, 6, 9), (4, 8), 'queries must be .* D of keys'),
        ((1, 3, 5, 8), (1, 3, 5, 9), (4, 8), 'values must be .* got .*5'),
        ((1, 3, 5, 8), (1, 3, 6, 9), (4, 9), r'anchors must be \(M, 8\)'),
    ],
)
def test_shapes_that_do_not_fit_are_refused(queries, values, anchors, message):
    with pytest.raises(ValueError, match=message):
        anchor_cross_attention(
            torch.zeros(queries), torch.zeros(1, 3, 6, 8), torch.zeros(values), torch.zeros(anchors)
        )
