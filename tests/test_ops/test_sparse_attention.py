"""Sparse attention against loops, and its two paths against each other."""

import math

import pytest
import torch

from mmanchor.ops import (
    basis_coefficients,
    connectivity_scores,
    dense_attention,
    gathered_attention,
    low_rank_attention,
    masked_attention,
    pairs_to_mask,
    reconstruction_loss,
    strongest_pairs,
)

PATHS = [masked_attention, gathered_attention]


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def example(rows=5, tokens=7, kept=3):
    """Two images, three heads of four numbers."""
    queries = draw(2, 3, rows, 4)
    keys, values = draw(2, 2, 3, tokens, 4)
    indices = strongest_pairs(draw(2, 3, rows, tokens), kept)
    return queries, keys, values, indices


def attend_slowly(queries, keys, values, kept):
    """One row at a time; ``kept`` are lists of tokens."""
    out = torch.zeros(*queries.shape[:3], values.shape[3]).double()
    for b, h, i in rows_of(queries):
        tokens = kept[b][h][i]
        scores = [math.exp(queries[b, h, i].dot(keys[b, h, j]) / 2) for j in tokens]
        for score, j in zip(scores, tokens, strict=True):
            out[b, h, i] += score / sum(scores) * values[b, h, j]
    return out


def rows_of(x):
    return (
        (b, h, i) for b in range(x.shape[0]) for h in range(x.shape[1]) for i in range(x.shape[2])
    )


def connectivity_slowly(queries, keys, compress, basis, scale, num, threshold):
    """Coefficients and scores of one row at a time."""
    coefficients = torch.zeros(*queries.shape[:3], compress.shape[1]).double()
    scores = torch.zeros(*queries.shape[:3], keys.shape[2]).double()
    for b, h, i in rows_of(queries):
        logits = [
            scale
            * sum(
                queries[b, h, i].dot(keys[b, h, n]) * compress[n, k] for n in range(keys.shape[2])
            )
            for k in range(compress.shape[1])
        ]
        total = sum(math.exp(each) for each in logits)
        row = [math.exp(each) / total for each in logits]
        coefficients[b, h, i] = torch.tensor(row).double()
        for k in sorted(range(len(row)), key=lambda k: -row[k])[:num]:
            for n in range(keys.shape[2]):
                size = abs(basis[n, k])
                scores[b, h, i, n] += row[k] * (size > threshold) * size
    return coefficients, scores


@pytest.mark.parametrize('num', [2, 9])
def test_connectivity_is_what_the_equations_say(num):
    queries, keys = draw(2, 3, 5, 4), draw(2, 3, 7, 4)
    compress, basis = draw(2, 7, 6)
    basis[3] = 0.5  # not above the threshold
    got = basis_coefficients(queries, keys, compress, 0.3)
    want, scores = connectivity_slowly(queries, keys, compress, basis, 0.3, num, 0.5)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(connectivity_scores(got, basis, num, 0.5), scores)
    assert (scores[..., 3] == 0).all() and (scores > 0).any()


def test_each_image_may_have_its_own_basis():
    queries, keys = draw(2, 3, 5, 4), draw(2, 3, 7, 4)
    compress, basis = draw(2, 2, 1, 7, 6)
    both = basis_coefficients(queries, keys, compress, 0.3)
    scores = connectivity_scores(both, basis, 2, 0.5)
    for i in range(2):
        one = basis_coefficients(queries[i : i + 1], keys[i : i + 1], compress[i, 0], 0.3)
        torch.testing.assert_close(one, both[i : i + 1])
        torch.testing.assert_close(connectivity_scores(one, basis[i, 0], 2, 0.5), scores[i : i + 1])


def test_low_rank_attention_is_the_sum_of_the_basis():
    coefficients, basis = draw(2, 3, 5, 6), draw(7, 6)
    got = low_rank_attention(coefficients, basis)
    for b, h, i in rows_of(coefficients):
        want = sum(coefficients[b, h, i, k] * basis[:, k] for k in range(6))
        torch.testing.assert_close(got[b, h, i], want)


@pytest.mark.parametrize('budget', [1, 3, 7])
def test_every_row_keeps_exactly_its_budget_also_among_equals(budget):
    scores = torch.zeros(1, 2, 4, 7)
    scores[..., 2] = 1
    mask = pairs_to_mask(strongest_pairs(scores, budget), 7)
    assert (mask.sum(-1) == budget).all() and mask[..., 2].all()


@pytest.mark.parametrize('budget', [0, 8])
def test_a_budget_out_of_range_is_refused(budget):
    with pytest.raises(ValueError, match=f'1 to N=7, got {budget}'):
        strongest_pairs(torch.zeros(1, 1, 1, 7), budget)


@pytest.mark.parametrize('attend', PATHS)
@pytest.mark.parametrize('kept', [1, 3, 7])
def test_both_paths_are_softmax_over_the_kept_tokens(attend, kept):
    queries, keys, values, indices = example(kept=kept)
    want = attend_slowly(queries, keys, values, indices.tolist())
    torch.testing.assert_close(attend(queries, keys, values, indices), want)


def test_both_paths_have_the_same_gradients():
    *inputs, indices = example()
    weights = draw(2, 3, 5, 4)
    grads = []
    for attend in PATHS:
        leaves = [each.clone().requires_grad_() for each in inputs]
        (attend(*leaves, indices) * weights).sum().backward()
        grads.append([each.grad for each in leaves])
    torch.testing.assert_close(*grads)


def test_the_gathered_path_has_the_gradients_of_its_function():
    queries, keys, values, indices = example(rows=2, tokens=4, kept=2)
    torch.autograd.gradcheck(
        lambda *each: gathered_attention(*each, indices),
        [each.requires_grad_() for each in (queries, keys, values)],
    )


@pytest.mark.parametrize('attend', PATHS)
def test_huge_scores_and_a_single_token_stay_finite(attend):
    queries, keys, values = torch.full((3, 1, 1, 2, 4), 1e4)
    indices = torch.tensor([[[[0, 1], [1, 0]]]])
    torch.testing.assert_close(attend(queries, keys, values, indices), values)
    one = indices[..., :1, :1] * 0
    torch.testing.assert_close(
        attend(queries[..., :1, :], keys[..., :1, :], values[..., :1, :], one), values[..., :1, :]
    )


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_the_gathered_path_is_wide_inside_and_narrow_outside(dtype):
    queries, keys, values, indices = example()
    want = gathered_attention(queries, keys, values, indices)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        got = gathered_attention(queries.to(dtype), keys.to(dtype), values.to(dtype), indices)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), want, rtol=0.05, atol=0.05)


def test_no_warning_about_sparse_tensors_comes_through(recwarn):
    gathered_attention(*example())
    assert not [each for each in recwarn if 'parse' in str(each.message)]


def test_absent_tokens_are_zero_keys_with_zero_values():
    queries, keys, values, _ = example()
    out, weights = dense_attention(queries, keys, values, num_absent=2)
    zeros = torch.zeros_like(keys[:, :, :2])
    every = [list(range(9))] * 5
    want = attend_slowly(
        queries, torch.cat((keys, zeros), 2), torch.cat((values, zeros), 2), [[every] * 3] * 2
    )
    torch.testing.assert_close(out, want)
    torch.testing.assert_close(weights @ values, want)
    assert (weights.sum(-1) < 1).all()
    _, weights = dense_attention(queries, keys, values)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5).double())


def test_reconstruction_loss_is_the_mean_squared_distance_of_rows():
    queries, keys, _, _ = example()
    approximation = draw(2, 3, 5, 7)
    total = 0.0
    for b, h, i in rows_of(queries):
        scores = [math.exp(queries[b, h, i].dot(keys[b, h, j]) / 2) for j in range(7)]
        total += sum(
            (approximation[b, h, i, j] - score / sum(scores)) ** 2 for j, score in enumerate(scores)
        )
    torch.testing.assert_close(reconstruction_loss(queries, keys, approximation), total / 30)


def test_the_reconstruction_takes_the_full_attention_as_given():
    queries, keys, approximation = draw(1, 1, 2, 4), draw(1, 1, 3, 4), draw(1, 1, 2, 3)
    leaves = [each.requires_grad_() for each in (queries, keys, approximation)]
    reconstruction_loss(*leaves).backward()
    assert queries.grad is None and keys.grad is None
    assert approximation.grad.abs().sum() > 0
