"""Content-aware upsampling (Wang et al., CARAFE, arXiv 1905.02188, eq. 4)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .common import gradients_of, in_one_precision


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Upsample, each new pixel by weights of its own, into ``output``.

    Args:
        features: (B, C, H, W).
        masks: Weights of the neighborhood of each new pixel,
            (B, group_size * kernel_size ** 2, sH, sW).
        rfeatures: Receives the features, for the backward pass.
        routput: Not used.
        rmasks: Not used.
        output: Receives the result, (B, C, sH, sW).
        kernel_size: Side of the neighborhood in pixels, odd.
        group_size: Groups of channels that share weights.
        scale_factor: s.
    """
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Write the gradients of :func:`carafe_forward`."""
    carafe_naive_backward(
        grad_output, rfeatures, masks, grad_input, grad_masks, kernel_size, group_size, scale_factor
    )


def carafe_naive_forward(
    features: Tensor,
    masks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """:func:`carafe_forward` without the tensors it does not need."""
    features, masks = in_one_precision(features, masks)
    output.copy_(_reassemble(features, masks, kernel_size, group_size, scale_factor))


def carafe_naive_backward(
    grad_output: Tensor,
    features: Tensor,
    masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Write the gradients of :func:`carafe_naive_forward`."""

    def reassemble(features: Tensor, masks: Tensor) -> Tensor:
        return _reassemble(features, masks, kernel_size, group_size, scale_factor)

    grads = gradients_of(reassemble, in_one_precision(features, masks), grad_output)
    grad_input.copy_(grads[0])
    grad_masks.copy_(grads[1])


def _reassemble(features: Tensor, masks: Tensor, kernel: int, groups: int, scale: int) -> Tensor:
    height, width = features.shape[2:]
    patches = F.unfold(features, kernel, padding=kernel // 2)
    # (B, groups, channels of a group, taps, H, W)
    patches = patches.unflatten(2, (height, width)).unflatten(1, (groups, -1, kernel**2))
    # (B, groups, taps, H, s, W, s)
    weights = masks.unflatten(3, (width, scale)).unflatten(2, (height, scale))
    weights = weights.unflatten(1, (groups, kernel**2))
    mixed = torch.einsum('bgckhw,bgkhiwj->bgchiwj', patches, weights)
    return mixed.flatten(5, 6).flatten(3, 4).flatten(1, 2)
