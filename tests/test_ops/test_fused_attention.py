"""The Triton kernels against float64, by Triton's interpreter or on a GPU.

The interpreter has to be chosen before Triton is imported, so that one test
runs this file again in a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmanchor.ops import anchor_attention, attention_from_scores
from mmanchor.ops.fused_attention import (
    can_fuse,
    fused_anchor_attention,
    fused_attention_from_scores,
)

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
fused = pytest.mark.skipif(
    not INTERPRETED and DEVICE == 'cpu', reason='needs a GPU or TRITON_INTERPRET=1'
)
# B, heads, N, M, D, Dv
SIZES = [
    (1, 1, 1, 1, 32, 32),
    (2, 3, 65, 30, 64, 64),
    (1, 2, 197, 5, 32, 48),
    (1, 1, 130, 128, 128, 128),
    (1, 2, 63, 17, 40, 24),
]


def inputs(size, shared=True, dtype=torch.float32):
    batch, heads, num, anchors, width, v_width = size
    # Heads as the layer splits them: views that are not contiguous.
    keys = torch.randn(batch, num, heads, width).transpose(1, 2)
    values = torch.randn(batch, num, heads, v_width).transpose(1, 2)
    own = torch.randn(*(() if shared else (heads,)), anchors, width)
    return [each.to(DEVICE, dtype).detach().requires_grad_() for each in (keys, values, own)]


def wide(tensors):
    return [each.detach().double().requires_grad_() for each in tensors]


@fused
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('shared', [True, False])
def test_outputs_and_gradients_in_float32(size, shared):
    own = inputs(size, shared)
    reference = wide(own)
    assert can_fuse(own[0], own[1], size[3], size[4], own[2])
    got, want = fused_anchor_attention(*own), anchor_attention(*reference)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=1e-5)
    grad = torch.randn_like(got)
    got = torch.autograd.grad(got, own, grad)
    want = torch.autograd.grad(want, reference, grad.double())
    for a, b in zip(got, want, strict=True):
        scale = b.abs().max().clamp(min=1)
        torch.testing.assert_close(a.double() / scale, b / scale, rtol=0, atol=1e-5)


@fused
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_loses_the_rounding_of_its_inputs_only(dtype):
    own = inputs(SIZES[1], dtype=dtype)
    reference = wide(own)
    got, want = fused_anchor_attention(*own), anchor_attention(*reference)
    assert got.dtype is dtype
    torch.testing.assert_close(got.double(), want, rtol=torch.finfo(dtype).eps, atol=1e-5)
    got = torch.autograd.grad(got.float().square().sum(), own)
    want = torch.autograd.grad(want.square().sum(), reference)
    for a, b in zip(got, want, strict=True):
        assert a.dtype is dtype
        scale = b.abs().max()
        error = 4 * torch.finfo(dtype).eps
        torch.testing.assert_close(a.double() / scale, b / scale, rtol=0, atol=error)


@fused
@pytest.mark.parametrize('anchors', [1, 30, 128])
def test_the_deploy_form(anchors):
    scores = torch.randn(2, 2, 70, anchors, device=DEVICE, requires_grad=True)
    values = torch.randn(2, 2, 70, 40, device=DEVICE, requires_grad=True)
    reference = wide((scores, values))
    got, want = fused_attention_from_scores(scores, values), attention_from_scores(*reference)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=1e-5)
    grad = torch.randn_like(got)
    got = torch.autograd.grad(got, (scores, values), grad)
    want = torch.autograd.grad(want, reference, grad.double())
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-5)


@fused
@pytest.mark.parametrize('value', [float('nan'), float('inf'), 1e4])
def test_values_that_are_not_finite_spread_as_in_the_eager_form(value):
    keys, values, anchors = (each.detach() for each in inputs(SIZES[2]))
    keys[0, 1, 3, 2] = value
    got = fused_anchor_attention(keys, values, anchors)
    want = anchor_attention(keys, values, anchors)
    assert torch.equal(got.isnan(), want.isnan())
    torch.testing.assert_close(got, want, equal_nan=True, rtol=1e-4, atol=1e-4)


@fused
def test_an_anchor_without_any_token_has_finite_gradients():
    keys, values, _ = inputs(SIZES[2])
    anchors = torch.zeros(5, 32, device=DEVICE)
    anchors[1] = -1e4
    keys = keys.detach().abs().add(1).requires_grad_()
    anchors.requires_grad_()
    own = (keys, values, anchors)
    grads = torch.autograd.grad(fused_anchor_attention(*own).sum(), own)
    assert all(each.isfinite().all() for each in grads)


@fused
def test_the_operator_keeps_its_promises():
    own = [each.detach().requires_grad_() for each in inputs((1, 2, 20, 5, 32, 16))]
    torch.library.opcheck(
        torch.ops.mmanchor.fused_attention,
        (*own, 0.2),
        test_utils=('test_schema', 'test_faketensor', 'test_autograd_registration'),
    )


@fused
@pytest.mark.parametrize('deploy', [True, False])
def test_the_layer_takes_the_kernels(deploy, monkeypatch):
    from mmanchor.models.layers import LearnedAnchorAttention, learned_attention

    torch.manual_seed(0)
    options = dict(num_anchors=5, learn_scale=True, deploy=deploy)
    plain = LearnedAnchorAttention(64, 2, **options).to(DEVICE)
    layer = LearnedAnchorAttention(64, 2, fused=True, **options).to(DEVICE)
    layer.load_state_dict(plain.state_dict())
    for name in ('anchor_attention', 'attention_from_scores', 'token_sums'):
        monkeypatch.delattr(learned_attention, name)
    x = torch.randn(1, 30, 64, device=DEVICE)
    got = layer(x)
    monkeypatch.undo()
    torch.testing.assert_close(got, plain(x), rtol=0, atol=1e-5)


def test_other_inputs_take_the_eager_form():
    keys, values, anchors = (each.cpu().detach().double() for each in inputs(SIZES[1]))
    assert not can_fuse(keys, values, 30, 64, anchors)
    got = fused_anchor_attention(keys, values, anchors)
    assert torch.equal(got, anchor_attention(keys, values, anchors))
    with pytest.raises(ValueError, match='anchors must be'):
        fused_anchor_attention(keys, values, anchors[:, :3])


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason='this is that process')
def test_all_of_it_through_the_interpreter():
    pytest.importorskip('triton')
    process = subprocess.run(
        (sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', '-n', '0', str(Path(__file__))),
        env=dict(os.environ, TRITON_INTERPRET='1', CUDA_VISIBLE_DEVICES=''),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout[-3000:]
