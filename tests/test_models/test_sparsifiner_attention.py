"""Sparsifiner's attention as a layer, against loops over tokens."""

import math

import pytest
import torch
from torch import nn

from mmanchor.models.layers import SparsifinerAttention
from mmanchor.models.layers.sparsifiner import resize_basis_axis, resize_token_axis
from mmanchor.models.layers.token_layout import TokenLayout
from mmanchor.registry import MODELS

PATHS = ['masked', 'gathered']


def build(in_dtype=torch.float64, **kwargs):
    """32 wide, two heads of 16, 3 x 4 patches after one extra token."""
    kwargs = dict(grid=(3, 4), num_basis=5, num_coefficients=3) | kwargs
    layer = SparsifinerAttention(32, num_heads=2, **kwargs).to(in_dtype).eval()
    for param in layer.parameters():
        nn.init.normal_(param, std=0.3)
    return layer


def largest(numbers, count):
    return sorted(range(len(numbers)), key=lambda i: -numbers[i])[:count]


def softmax(numbers):
    powers = [math.exp(each) for each in numbers]
    return [each / sum(powers) for each in powers]


def kept_slowly(layer, queries, keys, budget, num_extra):
    """Tokens that each row of one head keeps, a list for each."""
    parts = layer.predictor
    queries = [parts.query_proj(each) for each in queries]
    keys = [parts.key_proj(each) for each in keys]
    num, count = parts.compress.shape
    kept = [list(range(num)) for _ in range(num_extra)]
    for query in queries[num_extra:]:
        weights = softmax(
            [
                sum(
                    (query @ key).item() * parts.compress[n, k].item() for n, key in enumerate(keys)
                )
                / math.sqrt(layer.num_heads)
                for k in range(count)
            ]
        )
        chosen = largest(weights, parts.num_coefficients)
        scores = []
        for n in range(num):
            basis = [abs(parts.basis[n, k].item()) for k in range(count)]
            basis = [each if each > parts.threshold else 0 for each in basis]
            scores.append(sum(weights[k] * basis[k] for k in chosen))
        kept.append(largest(scores, budget))
    return kept


def attend_slowly(layer, x, budget, num_extra):
    """The layer's output and the kept pairs, token by token."""
    out = torch.zeros_like(x)
    mask = torch.zeros(len(x), 2, x.shape[1], x.shape[1], dtype=torch.bool)
    for b, tokens in enumerate(x):
        projected = layer.in_proj(tokens)
        for h in range(2):
            q, k, v = (projected[:, 32 * part + 16 * h :][:, :16] for part in range(3))
            rows = kept_slowly(layer, q, k, budget, num_extra)
            for i, chosen in enumerate(rows):
                mask[b, h, i, chosen] = True
                shares = softmax([(q[i] @ k[j]).item() / 4 for j in chosen])
                out[b, i, 16 * h : 16 * h + 16] = sum(
                    share * v[j] for share, j in zip(shares, chosen, strict=True)
                )
    return layer.proj(out), mask


@pytest.mark.parametrize('execution', PATHS)
@pytest.mark.parametrize(
    'num_extra, rate, budget', [(0, 0.25, 3), (1, 0.25, 4), (2, 0.5, 7), (1, 1.0, 13)]
)
@torch.no_grad()
def test_it_is_what_the_release_computes(execution, num_extra, rate, budget):
    layer = build(num_extra=num_extra, keep_rate=rate, execution=execution)
    x = torch.randn(2, 12 + num_extra, 32).double()
    want, mask = attend_slowly(layer, x, budget, num_extra)
    torch.testing.assert_close(layer(x, (3, 4)), want)
    torch.testing.assert_close(layer(x), want)
    assert torch.equal(layer.kept_pairs(x), mask)


def test_both_paths_train_alike():
    layer, x = build(), torch.randn(2, 13, 32).double()
    grads = []
    for layer.execution in PATHS:
        layer.zero_grad()
        layer(x).square().sum().backward()
        grads.append(
            [each.grad for each in (layer.in_proj.weight, layer.in_proj.bias, layer.proj.weight)]
        )
    torch.testing.assert_close(*grads)


def test_the_loss_trains_the_predictor_and_nothing_else():
    layer = build().train()
    layout = TokenLayout((3, 4), 1)
    x = torch.randn(2, 13, 32, requires_grad=True, dtype=torch.float64)
    mixed = layer.attend(x, layout)
    mixed.loss.backward()
    assert x.grad is None
    for name, param in layer.named_parameters():
        moves = param.grad is not None and param.grad.abs().sum() > 0
        assert moves == name.startswith('predictor.'), name
    layer.zero_grad()
    mixed.tokens.sum().backward()
    assert layer.predictor.basis.grad is None
    assert layer.eval().attend(x, layout).loss is None


@pytest.mark.parametrize('execution', PATHS)
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_loss_and_the_choice_wide(execution, dtype):
    layer = build(execution=execution, in_dtype=torch.float32).train()
    x, layout = torch.randn(2, 13, 32), TokenLayout((3, 4), 1)
    want = layer.attend(x, layout)
    with torch.autocast('cpu', dtype=dtype):
        got = layer.attend(x, layout)
    assert got.loss.dtype == torch.float32
    torch.testing.assert_close(got.loss, want.loss, rtol=0.05, atol=0.0)
    (got.loss + got.tokens.float().square().sum()).backward()
    assert all(each.grad.isfinite().all() for each in layer.parameters())
    torch.testing.assert_close(got.tokens.float().mean(), want.tokens.mean(), rtol=0.1, atol=0.1)


def test_training_by_the_loss_finds_the_strong_pairs():
    torch.manual_seed(0)
    layer = SparsifinerAttention(32, 2, grid=(4, 4), num_basis=8).train()
    nn.init.normal_(layer.in_proj.weight, std=0.3)
    x, layout = torch.randn(4, 17, 32), TokenLayout((4, 4), 1)
    optimizer = torch.optim.Adam(layer.predictor.parameters(), 0.02)
    losses = []
    for _ in range(60):
        losses.append(layer.attend(x, layout).loss)
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]


def test_the_budget_is_a_share_of_all_tokens():
    layer = build(keep_rate=0.5)
    assert layer._budget(13, 13) == 7
    # After pruning at most the patches that are left, as in the release.
    assert layer._budget(13, 8) == 7 and layer._budget(13, 5) == 4


@pytest.mark.parametrize('execution', PATHS)
def test_another_map_resizes_the_tokens_weights(execution):
    layer = build(execution=execution)
    other = build(grid=(5, 2), execution=execution)
    state = layer.state_dict()
    state['predictor.compress'], state['predictor.basis'] = layer.predictor.position_weights((5, 2))
    other.load_state_dict(state)
    x = torch.randn(2, 11, 32).double()
    torch.testing.assert_close(layer(x, (5, 2)), other(x))


def test_resized_weights_keep_extra_tokens_and_sums():
    weights = torch.ones(13, 2)
    weights[0] = 5.0
    for target in ((3, 4), (6, 8), (2, 3)):
        fine = resize_token_axis(weights, 1, (3, 4), target)
        assert fine.shape == (1 + target[0] * target[1], 2)
        torch.testing.assert_close(fine[1:], torch.ones_like(fine[1:]))
        sums = resize_token_axis(weights, 1, (3, 4), target, sums=True)
        assert (sums[0] == 5).all()
        torch.testing.assert_close(sums[1:].sum(0), torch.full((2,), 12.0))


def test_twice_every_basis_vector_changes_no_approximation():
    layer = build()
    queries, keys = torch.randn(2, 1, 2, 13, 16).double()
    layout = TokenLayout((3, 4), 1)
    coefficients, basis = layer.predictor(queries, keys, layout)
    want = coefficients @ basis.T
    for name in ('compress', 'basis'):
        param = getattr(layer.predictor, name)
        param.data = resize_basis_axis(param, 10)
    coefficients, basis = layer.predictor(queries, keys, layout)
    torch.testing.assert_close(coefficients @ basis.T, want)
    assert resize_basis_axis(torch.arange(4.0)[None], 2).tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize(
    'bad, message',
    [
        (dict(keep_rate=0.0), r'keep_rate must be in \(0, 1\], got 0.0'),
        (dict(keep_rate=1.1), r'keep_rate must be in \(0, 1\], got 1.1'),
        (dict(keep_rate=float('nan')), r'in \(0, 1\], got nan'),
        (dict(num_heads=3), 'num_heads must divide embed_dims=32'),
        (dict(num_heads=32), 'embed_dims=32 must be at least twice num_heads=32'),
        (dict(execution='fast'), r"one of \['gathered', 'masked'\], got 'fast'"),
        (dict(num_basis=0), 'num_basis must be at least 1, got 0'),
        (dict(num_coefficients=0), 'num_coefficients must be at least 1, got 0'),
    ],
)
def test_bad_arguments_are_named(bad, message):
    kwargs = dict(num_heads=2, grid=(3, 4)) | bad
    with pytest.raises(ValueError, match=message):
        SparsifinerAttention(32, **kwargs)


def test_tokens_that_do_not_fit_the_map_are_refused():
    with pytest.raises(ValueError, match='3 x 4 are 13 tokens, got 12'):
        build()(torch.randn(1, 12, 32).double())


def test_a_config_names_it_and_few_tokens_still_have_a_basis():
    layer = MODELS.build(
        dict(type='mmanchor.SparsifinerAttention', embed_dims=8, num_heads=2, grid=(1, 1))
    )
    assert layer.predictor.basis.shape == (2, 1)
    assert layer(torch.randn(1, 2, 8)).shape == (1, 2, 8)


def test_macs_of_what_is_executed_and_of_what_is_kept():
    layout = TokenLayout((3, 4), 1)
    masked = build(keep_rate=0.25).macs(layout, 13)
    gathered = build(keep_rate=0.25, execution='gathered').macs(layout, 13)
    assert masked.projections == gathered.projections == 13 * 4 * 32**2
    # Reduced queries and keys, compressed keys, coefficients, connectivity.
    assert (
        masked.predictor
        == gathered.predictor
        == 2 * (25 * 16 * 8 + 13 * 8 * 5 + 12 * 8 * 5 + 12 * 5 * 13)
    )
    assert masked.pairs_executed == 2 * 32 * 13 * 13
    pairs = 2 * 32 * (13 + 12 * 4)
    assert masked.pairs_kept == gathered.pairs_kept == pairs
    assert gathered.pairs_executed == pairs
    assert masked.executed - masked.kept == masked.pairs_executed - pairs
    dense = build(keep_rate=1.0).macs(layout, 13)
    assert dense.predictor == 0 and dense.executed == dense.kept
