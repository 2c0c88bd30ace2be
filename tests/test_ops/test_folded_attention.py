"""From tokens to tokens through projected means, against the long way."""

import pytest
import torch
import torch.nn.functional as F

from mmanchor.ops import (
    assign_heads,
    attention_from_scores,
    project_means,
    spread_means,
    token_sums,
)

HEADS, ANCHORS, WIDTH = 3, 5, 12


def weights():
    torch.manual_seed(0)
    shapes = dict(
        score=(HEADS * ANCHORS, WIDTH),
        value=(WIDTH, WIDTH),
        value_bias=(WIDTH,),
        out=(WIDTH, WIDTH),
        out_bias=(WIDTH,),
    )
    return {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}


def long_way(x, w):
    """Scores and values of every token, mixed, then projected."""

    def heads(y):
        return y.unflatten(2, (HEADS, -1)).transpose(1, 2)

    mixed = attention_from_scores(
        heads(F.linear(x, w['score'])), heads(F.linear(x, w['value'], w['value_bias']))
    )
    return F.linear(mixed.transpose(1, 2).flatten(2), w['out'], w['out_bias'])


def short_way(x, w, sizes=None):
    pieces = x.split(sizes or [x.shape[1]], dim=1)
    assigns = [assign_heads(F.linear(p, w['score']), HEADS) for p in pieces]
    sums, mass = map(sum, zip(*map(token_sums, assigns, pieces), strict=True))
    means = project_means(sums, mass, w['value'], w['value_bias'], w['out'], HEADS)
    return torch.cat([spread_means(a, means, w['out_bias']) for a in assigns], dim=1)


@pytest.mark.parametrize('num', [1, 4, 40])
def test_both_ways_agree_with_their_gradients(num):
    w = weights()
    x = torch.randn(2, num, WIDTH, dtype=torch.float64, requires_grad=True)
    probe = torch.randn(2, num, WIDTH, dtype=torch.float64)
    leaves = [x, *(each.requires_grad_() for each in w.values())]
    results = []
    for way in (long_way, short_way):
        out = way(x, w)
        results.append((out, *torch.autograd.grad((out * probe).sum(), leaves)))
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize('sizes', [[40], [1, 30, 9], [1] * 40])
def test_any_split_into_pieces_gives_the_whole(sizes):
    w, x = weights(), torch.randn(2, 40, WIDTH, dtype=torch.float64)
    assert torch.allclose(short_way(x, w, sizes), long_way(x, w), rtol=0, atol=1e-11)


def test_masses_add_up_to_the_number_of_tokens():
    assign = assign_heads(torch.randn(2, 11, HEADS * ANCHORS), HEADS)
    mass = token_sums(assign, torch.randn(2, 11, 4))[1]
    per_head = mass.unflatten(1, (HEADS, ANCHORS)).sum(-1)
    assert torch.allclose(per_head, torch.full((2, HEADS), 11.0))


@pytest.mark.parametrize('scale', [0.0, 1e4])
def test_unused_anchors_and_large_scores_stay_finite(scale):
    w = {name: each.float() for name, each in weights().items()}
    w['score'] = (w['score'] * scale).requires_grad_()
    out = short_way(torch.randn(1, 50, WIDTH), w)
    (grad,) = torch.autograd.grad(out.sum(), [w['score']])
    assert out.isfinite().all() and grad.isfinite().all()


def test_half_precision_and_autocast_stay_wide():
    x = torch.randn(1, 3000, WIDTH)
    # Scores of a size that half precision can tell apart.
    w = dict(weights(), score=weights()['score'] / 10)
    want = long_way(x.double(), w)
    w = {name: each.float() for name, each in w.items()}
    with torch.autocast('cpu', torch.bfloat16):
        assign = assign_heads((x @ w['score'].t()), HEADS)
        sums, mass = token_sums(assign, x)
    assert assign.dtype == sums.dtype == mass.dtype == torch.float32
    half = {name: each.bfloat16() for name, each in w.items()}
    got = short_way(x.bfloat16(), half)
    scale = want.abs().max()
    assert (got.double() - want).abs().max() < 0.05 * scale
