"""The numbers behind the sheets, against the explicit N x N matrix."""

import pytest
import torch
from torch.testing import assert_close

from mmanchor.explanation.mixing import AnchorMix


def explicit(query_assign, assign):
    """A_q Delta^-1 A_k^T of Eq. 11, (heads, N', N)."""
    mass = assign.sum(dim=1, keepdim=True)
    return query_assign @ (assign / mass).transpose(1, 2)


@pytest.mark.parametrize('subsamples', [False, True])
def test_a_row_is_that_of_the_explicit_matrix(subsamples):
    scores = 3 * torch.randn(2, 40, 7, dtype=torch.float64)
    queries = torch.randn(2, 10, 7, dtype=torch.float64) if subsamples else None
    mix = AnchorMix.of(scores, queries)
    assign = scores.softmax(dim=-1)
    matrix = explicit(assign if queries is None else queries.softmax(dim=-1), assign)
    for token in (0, 4, 9):
        weights, row = mix.sources(token)
        assert_close(row, matrix[:, token], rtol=1e-12, atol=1e-14)
        assert_close(row.sum(dim=-1), torch.ones(2, dtype=torch.float64))
        assert_close(weights.sum(dim=-1), torch.ones(2, dtype=torch.float64))


def test_rows_sum_to_one_even_through_anchors_that_gather_nothing():
    keys = torch.zeros(1, 5, 2)
    keys[..., 1] = -200  # exp(-200) is 0 in float32
    _, row = AnchorMix.of(keys, torch.tensor([[[0.0, 50.0]]])).sources(0)
    assert_close(row, torch.full((1, 5), 0.2))


def test_anchors_in_use():
    even = AnchorMix.of(torch.zeros(1, 12, 4))
    assert_close(even.in_use, torch.tensor([4.0]))
    assert_close(even.contrast, torch.zeros(1))
    one = torch.full((1, 12, 4), -100.0)
    one[..., 2] = 0
    one = AnchorMix.of(one)
    assert_close(one.share, torch.tensor([[0.0, 0.0, 1.0, 0.0]]))
    assert_close(one.in_use, torch.ones(1))


def test_contrast_is_largest_where_each_token_has_its_anchor():
    mix = AnchorMix.of(100 * torch.eye(3).repeat(4, 1)[None])
    assert_close(mix.contrast, torch.tensor([3.0]).log())
