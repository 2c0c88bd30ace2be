"""The rivals against their equations, written out with N x N matrices."""

import math

import pytest
import torch

from mmanchor.ops import anchor_attention
from tools.benchmarks.rivals import (
    EMAttention,
    InducedAttention,
    ShapeGemms,
    SparsifinerPairs,
    build_rivals,
)

BATCH, HEADS, TOKENS, WIDTH, SIZE = 2, 3, 11, 8, 4
NAMES = tuple(build_rivals(HEADS, WIDTH, SIZE))


@pytest.fixture
def qkv():
    return torch.randn(3, BATCH, HEADS, TOKENS, WIDTH, dtype=torch.float64).unbind()


def build(name, tokens=TOKENS):
    return build_rivals(HEADS, WIDTH, SIZE)[name](tokens).double()


def softmax_rows(q, k):
    """softmax(q k^T / sqrt(D)), entry by entry."""
    weights = torch.empty(len(q), len(k), dtype=q.dtype)
    for i, query in enumerate(q):
        exps = [math.exp(query.dot(key) / len(query) ** 0.5) for key in k]
        weights[i] = torch.tensor(exps) / sum(exps)
    return weights


def per_head(reference, qkv, *more):
    """Apply ``reference`` to each image's each head."""
    out = torch.empty_like(qkv[0])
    for b in range(BATCH):
        for h in range(HEADS):
            args = [each[b, h] for each in (*qkv, *more)]
            out[b, h] = reference(*args)
    return out


def spread(param):
    """A parameter (heads or nothing, M, D) for each image and head."""
    return param.detach().expand(BATCH, HEADS, -1, -1)


@pytest.mark.parametrize('name', NAMES)
def test_every_rival_gives_values_of_its_input_shape_and_gradients(name, qkv):
    inputs = [each.requires_grad_() for each in qkv]
    rival = build(name)
    out = rival(*inputs)
    assert out.shape == inputs[0].shape and out.dtype == torch.float64
    unused = dict.fromkeys(('EM attention, one step',), 2)
    unused['anchor attention (ours)'] = 1
    learned = [] if 'Sparsifiner' in name else list(rival.parameters())
    grads = torch.autograd.grad(out.square().sum(), [*inputs[unused.get(name, 0) :], *learned])
    for grad in grads:
        assert grad.isfinite().all() and grad.abs().sum() > 0


def test_softmax_is_over_all_pairs(qkv):
    torch.testing.assert_close(
        build('softmax (SDPA)')(*qkv), per_head(lambda q, k, v: softmax_rows(q, k) @ v, qkv)
    )


def test_ours_is_the_function_of_the_package(qkv):
    ours = build('anchor attention (ours)')
    torch.testing.assert_close(ours(*qkv), anchor_attention(qkv[1], qkv[2], ours.anchors))


def test_agents_are_means_of_runs_of_queries(qkv):

    def reference(q, k, v):
        # 11 tokens in 4 runs of 2; the last three are left over.
        runs = [(0, 2), (2, 4), (4, 6), (6, 8)]
        agents = torch.stack([q[start:stop].mean(0) for start, stop in runs])
        return softmax_rows(q, agents) @ softmax_rows(agents, k) @ v

    torch.testing.assert_close(build('Agent attention')(*qkv), per_head(reference, qkv))


def test_linear_angular_attention_is_the_start_of_the_angle_series(qkv):

    def reference(q, k, v):
        out = v / 2
        for i in range(TOKENS):
            for j in range(TOKENS):
                cosine = q[i].dot(k[j]) / (q[i].norm() * k[j].norm())
                out[i] += cosine / math.pi * v[j]
        return out

    torch.testing.assert_close(build('linear-angular attention')(*qkv), per_head(reference, qkv))


def test_the_angle_series_begins_with_one_half_and_one_over_pi():
    cosine = torch.tensor(0.01, dtype=torch.float64)
    kernel = 1 - torch.acos(cosine) / math.pi
    assert kernel == pytest.approx(0.5 + 0.01 / math.pi, abs=1e-6)


def test_one_step_of_expectation_maximization_weighs_means(qkv):

    def reference(_, __, x, bases):
        shares = torch.stack([(bases @ token).softmax(0) for token in x])
        means = torch.stack(
            [(shares[:, j, None] * x).sum(0) / shares[:, j].sum() for j in range(SIZE)]
        )
        return shares @ means

    rival = EMAttention(WIDTH, SIZE).double()
    torch.testing.assert_close(rival(*qkv), per_head(reference, qkv, spread(rival.bases)))


def test_tokens_attend_to_inducing_points_that_attended_to_them(qkv):

    def reference(q, k, v, points):
        gathered = softmax_rows(points, k) @ v
        return softmax_rows(q, gathered) @ gathered

    rival = InducedAttention(HEADS, WIDTH, SIZE).double()
    torch.testing.assert_close(rival(*qkv), per_head(reference, qkv, spread(rival.points)))


@pytest.mark.parametrize('execution', ['masked', 'gathered'])
def test_sparsifiner_attends_to_a_quarter_of_the_tokens(execution, qkv):
    rival = SparsifinerPairs(TOKENS, HEADS, WIDTH, execution).double()
    torch.nn.init.normal_(rival.predictor.basis)  # no ties among the scores
    q, k, _ = qkv
    coefficients, basis = rival.predictor(q, k, rival.layout)
    basis = basis.detach().abs()
    scores = coefficients.detach() @ (basis * (basis > 0.02)).t()

    def reference(q, k, v, scores):
        out = torch.empty_like(v)
        for i in range(TOKENS):
            kept = scores[i].sort(descending=True)[1][:3]  # ceil(11 / 4)
            out[i] = (softmax_rows(q[i, None], k[kept]) @ v[kept])[0]
        return out

    torch.testing.assert_close(rival(*qkv), per_head(reference, qkv, scores))


@pytest.mark.parametrize('backward, count', [(False, 3), (True, 9)])
def test_the_bound_multiplies_the_three_shapes_and_nothing_else(backward, count):
    from torch.utils.flop_counter import FlopCounterMode

    bound = ShapeGemms(BATCH * HEADS, TOKENS, WIDTH, SIZE, backward)
    with FlopCounterMode(display=False) as counter:
        bound()
    macs = BATCH * HEADS * TOKENS * WIDTH * SIZE
    assert counter.get_total_flops() == 2 * macs * count


def test_the_bound_takes_no_memory_of_its_own():
    from mmanchor.analysis.memory import peak_memory

    assert peak_memory(ShapeGemms(HEADS, TOKENS, WIDTH, SIZE)) == 0
