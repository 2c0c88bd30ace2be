"""Focal losses agree with their equation, values and gradients."""

import pytest
import torch
from mmcv.ops import sigmoid_focal_loss, softmax_focal_loss
from torch import Tensor
from torch.autograd import gradcheck

from mmanchor.compat import mmcv_ops

# The compiled operators have no version for the CPU.
pytestmark = pytest.mark.skipif(
    mmcv_ops.has_compiled_ops(), reason='mmcv has compiled operators here'
)
BACKGROUND = 3
TARGET = torch.tensor([0, 2, BACKGROUND, 1, 0])
WEIGHT = torch.tensor([0.5, 2.0, 3.0], dtype=torch.double)


@pytest.fixture
def logits() -> Tensor:
    """Five samples' logits of three classes, float64."""
    return (torch.randn(5, 3, dtype=torch.double) * 3).requires_grad_()


@pytest.mark.smoke
@pytest.mark.parametrize('gamma', [0.0, 2.0])
def test_sigmoid_focal_loss_is_its_equation(logits, gamma):
    losses = sigmoid_focal_loss(logits, TARGET, gamma, 0.25, None, 'none')
    for sample, target in enumerate(TARGET.tolist()):
        for label in range(3):
            p = torch.sigmoid(logits[sample, label])
            p, alpha = (p, 0.25) if label == target else (1 - p, 0.75)
            expected = -alpha * (1 - p) ** gamma * p.log()
            torch.testing.assert_close(losses[sample, label], expected)


@pytest.mark.parametrize('gamma', [0.5, 2.0])
def test_softmax_focal_loss_is_its_equation(logits, gamma):
    target = TARGET.masked_fill(TARGET == BACKGROUND, -1)
    losses = softmax_focal_loss(logits, target, gamma, 0.25, WEIGHT, 'none')
    for sample, label in enumerate(target.tolist()):
        p = logits[sample].softmax(0)[label]
        expected = -0.25 * (1 - p) ** gamma * p.log() * WEIGHT[label]
        torch.testing.assert_close(losses[sample], expected if label >= 0 else expected * 0)


@pytest.mark.parametrize('weight', [None, WEIGHT])
@pytest.mark.parametrize('loss', [sigmoid_focal_loss, softmax_focal_loss])
@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_gradients_are_those_of_finite_differences(logits, loss, reduction, weight):
    target = TARGET.clone()
    if loss is softmax_focal_loss:
        target[2] = -1
    assert gradcheck(lambda x: loss(x, target, 2.0, 0.25, weight, reduction), logits)


def test_class_weights_multiply_a_samples_losses(logits):
    plain = sigmoid_focal_loss(logits, TARGET, 2.0, 0.25, None, 'none')
    weighted = sigmoid_focal_loss(logits, TARGET, 2.0, 0.25, WEIGHT, 'none')
    factors = torch.tensor([0.5, 3.0, 1.0, 2.0, 0.5], dtype=torch.double)
    torch.testing.assert_close(weighted, plain * factors[:, None])


@pytest.mark.parametrize('loss', [sigmoid_focal_loss, softmax_focal_loss])
def test_certain_predictions_stay_finite(loss):
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    value = loss(logits, torch.tensor([0, 0]))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(logits.grad).all()


def test_half_precision_is_rounded_once(logits):
    low = logits.detach().half()
    losses = sigmoid_focal_loss(low, TARGET, 2.0, 0.25, None, 'none')
    full = sigmoid_focal_loss(low.float(), TARGET, 2.0, 0.25, None, 'none')
    assert torch.equal(losses, full.half())
