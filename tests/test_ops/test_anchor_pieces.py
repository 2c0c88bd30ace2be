"""Anchor attention piece by piece, against all at once."""
import pytest
import torch

from mmanchor.ops import (anchor_attention, anchor_scores, anchor_sums,
                          attend_to_sums)


def in_pieces(scores, values, sizes):
    pieces = list(zip(scores.split(sizes, 2), values.split(sizes, 2)))
    sums, mass = map(sum, zip(*(anchor_sums(*piece) for piece in pieces)))
    return torch.cat([attend_to_sums(s, sums, mass) for s, _ in pieces], 2)


@pytest.mark.parametrize('dtype, tolerance', [(torch.float64, 1e-13),
                                              (torch.float32, 1e-6)])
@pytest.mark.parametrize('sizes', [(23, ), (1, 15, 7), (1, ) * 23])
def test_any_split_gives_the_whole(dtype, tolerance, sizes):
    torch.manual_seed(0)
    keys, values = torch.randn(2, 2, 3, 23, 8, dtype=dtype)
    anchors = torch.randn(5, 8, dtype=dtype)
    want = anchor_attention(keys, values, anchors)
    got = in_pieces(anchor_scores(keys, anchors), values, sizes)
    assert got.dtype == dtype
    assert torch.allclose(got, want, rtol=0, atol=tolerance)


def test_masses_add_up_to_the_number_of_tokens():
    mass = anchor_sums(torch.randn(2, 3, 11, 4), torch.randn(2, 3, 11, 1))[1]
    assert torch.allclose(mass.sum(-1), torch.full((2, 3), 11.).double())


def test_an_anchor_that_no_token_takes_stays_finite():
    scores = torch.tensor([0., -1e4]).expand(1, 1, 6, 2)
    values = torch.randn(1, 1, 6, 3)
    got = in_pieces(scores, values, (2, 4))
    assert torch.allclose(got, values.mean(2, keepdim=True).expand_as(got))


def test_autocast_leaves_the_sums_wide():
    torch.manual_seed(0)
    scores, values = torch.randn(1, 1, 500, 4), torch.randn(1, 1, 500, 3)
    want = in_pieces(scores, values, (500, ))
    with torch.autocast('cpu', torch.bfloat16):
        got = in_pieces(scores, values, (100, 400))
    assert got.dtype == torch.float32
    assert torch.allclose(got, want, atol=1e-6)
