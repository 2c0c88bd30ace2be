"""Anchor attention against a dense float64 reference, and its properties."""

import math

import pytest
import torch

from mmanchor.ops import anchor_assignment, anchor_attention, attention_from_scores, refine_anchors


def dense_matrix(keys, anchors, scale=None):
    """A Delta^-1 A^T, the N x N matrix that the operator never forms."""
    keys, anchors = keys.double(), anchors.double()
    batch, heads, num_tokens, width = keys.shape
    scale = width**-0.5 if scale is None else scale
    anchors = anchors.expand(batch, heads, *anchors.shape[-2:])
    out = torch.empty(batch, heads, num_tokens, num_tokens).double()
    for b in range(batch):
        for h in range(heads):
            scores = scale * keys[b, h] @ anchors[b, h].T
            assign = torch.exp(scores - scores.max(1, keepdim=True)[0])
            assign /= assign.sum(1, keepdim=True)
            mass = torch.diag(1 / assign.sum(0))
            out[b, h] = assign @ mass @ assign.T
    return out


def inputs(batch=2, heads=3, tokens=37, width=16, anchors=7, **kwargs):
    return (
        torch.randn(batch, heads, tokens, width, **kwargs),
        torch.randn(batch, heads, tokens, width + 1, **kwargs),
        torch.randn(anchors, width, **kwargs),
    )


@pytest.mark.smoke
@pytest.mark.parametrize('shape', [(7, 16), (3, 7, 16), (2, 3, 7, 16)])
@pytest.mark.parametrize('scale', [None, 0.3])
def test_output_is_the_dense_matrix_times_the_values(shape, scale):
    keys, values, _ = inputs(dtype=torch.float64)
    anchors = torch.randn(shape, dtype=torch.float64)
    got = anchor_attention(keys, values, anchors, scale=scale)
    want = dense_matrix(keys, anchors, scale) @ values
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


def test_float32_is_within_rounding_of_the_reference():
    keys, values, anchors = inputs(tokens=500, anchors=30)
    got = anchor_attention(keys, values, anchors)
    want = dense_matrix(keys, anchors) @ values.double()
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-6)


def test_worked_values_of_two_tokens_and_two_anchors():
    # Scores ln 3 and 0: rows of A are (3/4, 1/4) and (1/4, 3/4), masses 1.
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 1, 2, 2)
    anchors = math.log(3) * torch.eye(2)
    values = torch.tensor([8.0, 0.0]).view(1, 1, 2, 1)
    assign = anchor_assignment(keys, anchors, scale=1.0)
    torch.testing.assert_close(assign[0, 0], torch.tensor([[0.75, 0.25], [0.25, 0.75]]))
    out = anchor_attention(keys, values, anchors, scale=1.0)
    # Anchor means (6, 2), hence 3/4 * 6 + 1/4 * 2 and the other way round.
    torch.testing.assert_close(out.flatten(), torch.tensor([5.0, 3.0]))


def test_implied_matrix_is_doubly_stochastic_symmetric_and_of_rank_m():
    keys, _, anchors = inputs(1, 1, 20, anchors=5, dtype=torch.float64)
    identity = torch.eye(20, dtype=torch.float64)[None, None]
    matrix = anchor_attention(keys, identity, anchors)[0, 0]
    ones = torch.ones(20, dtype=torch.float64)
    torch.testing.assert_close(matrix.sum(0), ones)
    torch.testing.assert_close(matrix.sum(1), ones)
    torch.testing.assert_close(matrix, matrix.T)
    assert (matrix >= 0).all()
    eigenvalues = torch.linalg.eigvalsh(matrix)
    assert eigenvalues.min() > -1e-12
    assert (eigenvalues > 1e-12).sum() == 5


def test_assignment_rows_sum_to_one_over_the_anchors():
    keys, _, anchors = inputs()
    assign = anchor_assignment(keys, anchors)
    assert assign.shape == (2, 3, 37, 7)
    torch.testing.assert_close(assign.sum(-1), torch.ones(2, 3, 37))


def test_permuting_tokens_permutes_the_output():
    keys, values, anchors = inputs(dtype=torch.float64)
    order = torch.randperm(37)
    torch.testing.assert_close(
        anchor_attention(keys[:, :, order], values[:, :, order], anchors),
        anchor_attention(keys, values, anchors)[:, :, order],
    )


def test_permuting_anchors_changes_nothing():
    keys, values, anchors = inputs(dtype=torch.float64)
    torch.testing.assert_close(
        anchor_attention(keys, values, anchors[torch.randperm(7)]),
        anchor_attention(keys, values, anchors),
    )


def test_images_and_heads_do_not_see_each_other():
    keys, values, anchors = inputs(dtype=torch.float64)
    whole = anchor_attention(keys, values, anchors)
    for b in range(2):
        for h in range(3):
            one = anchor_attention(
                keys[b : b + 1, h : h + 1], values[b : b + 1, h : h + 1], anchors
            )
            torch.testing.assert_close(whole[b, h], one[0, 0])


def test_gradients_agree_with_finite_differences():
    keys, values, anchors = inputs(1, 2, 5, 3, 4, dtype=torch.float64)
    for tensor in (keys, values, anchors):
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(anchor_attention, (keys, values, anchors))


@pytest.mark.parametrize('scale_of_keys', [1e-8, 1.0, 1e4, 1e30])
@pytest.mark.parametrize('tokens', [1, 3, 300])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_extreme_scores_give_finite_outputs_and_gradients(tokens, scale_of_keys, dtype):
    scale_of_keys = min(scale_of_keys, torch.finfo(dtype).max / 10)
    keys, values, anchors = inputs(1, 2, tokens, 16, 30)
    tensors = [(keys * scale_of_keys), values, anchors]
    tensors = [x.to(dtype).requires_grad_() for x in tensors]
    out = anchor_attention(*tensors)
    out.float().square().sum().backward()
    assert out.dtype == dtype
    for x in (out, *(x.grad for x in tensors)):
        assert torch.isfinite(x).all()


def test_an_unused_anchor_adds_nothing_and_has_finite_gradients():
    keys, values, anchors = inputs(1, 1, 50, 16, 4)
    keys[..., 0] = 10.0
    far = torch.zeros(1, 16)
    far[0, 0] = -1e4
    anchors = torch.cat((anchors, far)).requires_grad_()
    keys.requires_grad_()
    out = anchor_attention(keys, values, anchors)
    torch.testing.assert_close(out, anchor_attention(keys, values, anchors[:4]))
    out.sum().backward()
    assert torch.isfinite(keys.grad).all()
    assert torch.isfinite(anchors.grad).all()


def test_constant_tokens_all_get_the_mean_value():
    keys = torch.ones(1, 2, 200, 8)
    values = torch.randn(1, 2, 200, 8)
    out = anchor_attention(keys, values, torch.randn(30, 8))
    want = values.mean(2, keepdim=True).expand_as(out)
    torch.testing.assert_close(out, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_holds_at_200_000_tokens(dtype):
    keys = torch.randn(1, 1, 200_000, 8, dtype=dtype)
    values = torch.randn(1, 1, 200_000, 8, dtype=dtype) + 100
    anchors = torch.randn(5, 8, dtype=dtype)
    got = anchor_attention(keys, values, anchors)
    # The dense matrix would have 4e10 entries; the factors in float64 do.
    assign = (keys.double() @ anchors.double().T / 8**0.5).softmax(-1)
    means = assign.transpose(-2, -1) @ values.double()
    want = assign @ (means / assign.sum(-2).unsqueeze(-1))
    eps = torch.finfo(dtype).eps
    assert ((got.double() - want).abs() <= eps * want.abs()).all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_does_not_lower_the_precision(dtype):
    keys, values, anchors = inputs(tokens=300, anchors=30)
    keys = keys * 5
    want = (anchor_attention(keys, values, anchors), anchor_assignment(keys, anchors))
    with torch.autocast('cpu', dtype=dtype):
        got = (anchor_attention(keys, values, anchors), anchor_assignment(keys, anchors))
    for x, y in zip(got, want, strict=True):
        assert torch.equal(x, y)


def test_refined_anchors_are_the_weighted_means_of_the_keys():
    keys, _, anchors = inputs(dtype=torch.float64)
    assign = anchor_assignment(keys, anchors)
    got = refine_anchors(keys, anchors)
    for j in range(7):
        weight = assign[0, 1, :, j]
        want = (weight[:, None] * keys[0, 1]).sum(0) / weight.sum()
        torch.testing.assert_close(got[0, 1, j], want)


def test_scores_alone_give_the_same_output():
    keys, values, anchors = inputs(dtype=torch.float64)
    scores = keys @ anchors.T / 4
    torch.testing.assert_close(
        attention_from_scores(scores, values), anchor_attention(keys, values, anchors)
    )


def test_shapes_are_known_without_memory():
    with torch.device('meta'):
        assert anchor_attention(*inputs()).shape == (2, 3, 37, 17)


def test_compiles_to_one_graph():
    keys, values, anchors = inputs(tokens=16)
    compiled = torch.compile(anchor_attention, fullgraph=True, backend='eager')
    want = anchor_attention(keys, values, anchors)
    torch.testing.assert_close(compiled(keys, values, anchors), want)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        torch.testing.assert_close(compiled(keys, values, anchors), want)


def test_exports_with_a_dynamic_number_of_tokens():

    class Module(torch.nn.Module):
        def forward(self, keys, values, anchors):
            return anchor_attention(keys, values, anchors)

    tokens = torch.export.Dim('tokens', min=2)
    shapes = ({2: tokens}, {2: tokens}, None)
    program = torch.export.export(Module(), inputs(), dynamic_shapes=shapes)
    other = inputs(tokens=50)
    torch.testing.assert_close(program.module()(*other), anchor_attention(*other))


@pytest.mark.parametrize(
    'keys, values, anchors, message',
    [
        ((3, 5, 8), (1, 3, 5, 8), (4, 8), r'keys must be \(B, heads, N, D\)'),
        ((1, 3, 5, 8), (1, 3, 6, 8), (4, 8), 'values must be .* got .*6'),
        ((1, 3, 5, 8), (1, 3, 5, 8), (4, 9), r'anchors must be \(M, 8\)'),
        ((1, 3, 5, 8), (1, 3, 5, 8), (2, 4, 8), r'anchors must be .*\(3, M, 8\)'),
        ((1, 3, 5, 8), (1, 3, 5, 8), (0, 8), 'M >= 1'),
        ((1, 3, 5, 8), (1, 3, 5, 8), (8,), 'anchors must be'),
    ],
)
def test_shapes_that_do_not_fit_are_refused(keys, values, anchors, message):
    with pytest.raises(ValueError, match=message):
        anchor_attention(torch.zeros(keys), torch.zeros(values), torch.zeros(anchors))


@pytest.mark.parametrize('shape', [(5, 8), (3, 5, 8), (2, 3, 5, 8)])
def test_keys_of_any_layout_give_the_same(shape):
    keys, values = torch.randn(2, 2, 3, 23, 8, dtype=torch.float64)
    anchors = torch.randn(shape, dtype=torch.float64)
    # As a projection gives them: heads inside of tokens.
    strided = keys.transpose(1, 2).contiguous().transpose(1, 2)
    assert keys.is_contiguous() and not strided.is_contiguous()
    torch.testing.assert_close(
        anchor_attention(strided, values, anchors), anchor_attention(keys, values, anchors)
    )


def test_the_widest_of_the_three_dtypes_counts():
    keys, values = torch.randn(2, 1, 1, 9, 4)
    anchors = torch.randn(3, 4, dtype=torch.float64)
    got = anchor_attention(keys, values, anchors)
    want = anchor_attention(keys.double(), values.double(), anchors)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want.float(), rtol=0, atol=0)
