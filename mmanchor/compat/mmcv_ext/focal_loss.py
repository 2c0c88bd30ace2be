r"""Focal losses (Lin et al., arXiv 1708.02002, eq. 5), in plain torch.

.. math:: FL = -\alpha_t (1 - p_t)^\gamma \log p_t
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .common import in_one_precision


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss of each class of each sample, by its sigmoid.

    Args:
        input: Logits, (N, C).
        target: Class of each sample, (N,); C is the background.
        weight: Weight of each class, (C,), or empty.
        output: Receives the losses, (N, C).
        gamma: Exponent that lowers the loss of what is classified well.
        alpha: Weight of a sample's own class; the others have ``1 - alpha``.
    """
    (logits,) = in_one_precision(input)
    own = _own_class(target, logits.size(1))
    # The class's probability, or one minus it where it is not the own.
    signed = torch.where(own, logits, -logits)
    losses = -((1 - signed.sigmoid()) ** gamma) * F.logsigmoid(signed)
    output.copy_(losses * _sigmoid_scale(own, target, weight, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each loss by its logit."""
    (logits,) = in_one_precision(input)
    own = _own_class(target, logits.size(1))
    signed = torch.where(own, logits, -logits)
    p = signed.sigmoid()
    slope = (1 - p) ** gamma * (gamma * p * F.logsigmoid(signed) - (1 - p))
    slope = torch.where(own, slope, -slope)
    grad_input.copy_(slope * _sigmoid_scale(own, target, weight, alpha))


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss of each sample, by the softmax of its logits.

    Args:
        input: Probabilities, (N, C), rows sum to 1.
        target: Class of each sample, (N,); a negative one is ignored.
        weight: Weight of each class, (C,), or empty.
        output: Receives the losses, (N,).
        gamma: Exponent that lowers the loss of what is classified well.
        alpha: Weight of every class.
    """
    p = _own_probability(input, target)
    losses = -alpha * (1 - p) ** gamma * p.log()
    output.copy_(_weighted(losses, target, weight))


def softmax_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Write the derivative of each sample's loss by its logits, (N, C).

    ``input`` are the probabilities; ``buff``, (N,), receives the factor that
    a sample's derivatives share.
    """
    p = _own_probability(input, target)
    # In the second term p vanishes faster than its logarithm grows.
    factor = gamma * (1 - p) ** (gamma - 1) * p * p.log() - (1 - p) ** gamma
    # At p = 1 and gamma < 1 the power is infinite, its product 0.
    factor = alpha * torch.where(p < 1, factor, -((1 - p) ** gamma))
    buff.copy_(_weighted(factor, target, weight))
    own = _own_class(target, input.size(1)).to(p.dtype)
    grad_input.copy_(buff[:, None] * (own - input))


def _own_class(target: Tensor, classes: int) -> Tensor:
    return target[:, None] == torch.arange(classes, device=target.device)


def _sigmoid_scale(own: Tensor, target: Tensor, weight: Tensor, alpha: float) -> Tensor:
    scale = own * alpha + ~own * (1 - alpha)
    if weight.numel():
        # The weights are those of the classes; the background counts once.
        background = ~own.any(1)
        own_weight = weight[target.masked_fill(background, 0)].masked_fill(background, 1)
        scale = scale * own_weight[:, None]
    return scale


def _own_probability(probabilities: Tensor, target: Tensor) -> Tensor:
    (p,) = in_one_precision(probabilities)
    p = p.gather(1, target.clamp(min=0)[:, None])[:, 0]
    return p.clamp(min=torch.finfo(torch.float32).tiny)


def _weighted(values: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    if weight.numel():
        values = values * weight[target.clamp(min=0)]
    return values.masked_fill(target < 0, 0)
