"""Linear and convolutional layers with batch normalization, fused for deployment."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_NORM_TENSORS = ('weight', 'bias', 'running_mean', 'running_var')


def fold_batch_norm(
    weight: Tensor, norm: Mapping[str, Tensor], eps: float
) -> tuple[Tensor, Tensor]:
    r"""Fold batch normalization into the linear layer before it.

    .. math:: g \, (W x - \mu) / \sqrt{\sigma^2 + \epsilon} + b

    is an affine map of x, too. It is computed in float64, since every token
    would carry its rounding error.

    Args:
        weight: W, (out, ...), of a linear layer or a convolution without bias.
        norm: g, b, :math:`\mu` and :math:`\sigma^2`, (out,) each, under the
            names ``weight``, ``bias``, ``running_mean`` and ``running_var``.
        eps: :math:`\epsilon`, added to the variance.

    Returns:
        Weight and bias of the fused layer, in the dtype of ``weight``.

    Example:
        >>> values = torch.tensor([[2.0], [1.0], [3.0], [0.25]])
        >>> norm = dict(zip(_NORM_TENSORS, values, strict=True))
        >>> [x.item() for x in fold_batch_norm(torch.ones(1, 1), norm, 0.0)]
        [4.0, -11.0]
    """
    gain, bias, mean, variance = (norm[name].double() for name in _NORM_TENSORS)
    factor = gain / (variance + eps).sqrt()
    shape = (-1, *[1] * (weight.dim() - 1))
    folded = weight.double() * factor.view(shape)
    return folded.to(weight.dtype), (bias - mean * factor).to(weight.dtype)


def fold_checkpoint(state_dict: dict, prefix: str, eps: float) -> None:
    """Fuse a layer of a training checkpoint for deployment, in place.

    Entries that are missing or do not fit are left for torch to report.

    Args:
        state_dict: The checkpoint.
        prefix: Prefix of the layer's names in it, including the dot.
        eps: Epsilon of the batch normalization.
    """
    names = {name: f'{prefix}bn.{name}' for name in _NORM_TENSORS}
    weight = state_dict.get(f'{prefix}linear.weight')
    norm = {name: state_dict[full] for name, full in names.items() if full in state_dict}
    if weight is None or len(norm) < len(names):
        return
    if any(x.shape != weight.shape[:1] for x in norm.values()):
        return
    folded = fold_batch_norm(weight, norm, eps)
    state_dict[f'{prefix}linear.weight'] = folded[0]
    state_dict[f'{prefix}linear.bias'] = folded[1]
    for full in (*names.values(), f'{prefix}bn.num_batches_tracked'):
        state_dict.pop(full, None)


class _NormedLayer(nn.Module):
    """A linear layer without bias, and batch normalization of its output.

    Args:
        linear: The linear layer or convolution.
        norm: The batch normalization.
        gain: Initial weight of the normalization. With 0, a residual branch
            that ends here starts at zero.
    """

    def __init__(
        self, linear: nn.Linear | nn.Conv2d, norm: nn.BatchNorm1d | nn.BatchNorm2d, gain: float
    ) -> None:
        super().__init__()
        nn.init.constant_(norm.weight, gain)
        self.linear = linear
        self.bn: nn.BatchNorm1d | nn.BatchNorm2d | None = norm
        self.eps = norm.eps

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold the normalization, in place; calling it again changes nothing."""
        if self.bn is None:
            return
        weight, bias = fold_batch_norm(self.linear.weight, self.bn.state_dict(), self.bn.eps)
        trained = self.linear.weight.requires_grad
        self.linear.weight = nn.Parameter(weight, requires_grad=trained)
        self.linear.bias = nn.Parameter(bias, requires_grad=trained)
        self.bn = None

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Let the deploy form load a checkpoint of the training form."""
        if self.bn is None:
            fold_checkpoint(state_dict, prefix, self.eps)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class ConvBN(_NormedLayer):
    """A 3 x 3 convolution of stride 2, and batch normalization.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.

    Example:
        >>> ConvBN(3, 8)(torch.rand(2, 3, 5, 8)).shape
        torch.Size([2, 8, 3, 4])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False)
        super().__init__(conv, nn.BatchNorm2d(out_channels), gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out_channels, ceil(H / 2), ceil(W / 2))."""
        x = self.linear(x)
        return x if self.bn is None else self.bn(x)


class LinearBN(_NormedLayer):
    """A linear layer on tokens, and batch normalization over all of them.

    Args:
        in_features: Width of the input.
        out_features: Width of the output.
        gain: Initial weight of the normalization.

    Example:
        >>> LinearBN(8, 16)(torch.rand(2, 5, 8)).shape
        torch.Size([2, 5, 16])
    """

    linear: nn.Linear

    def __init__(self, in_features: int, out_features: int, gain: float = 1.0) -> None:
        super().__init__(
            nn.Linear(in_features, out_features, bias=False), nn.BatchNorm1d(out_features), gain
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, out_features)."""
        x = self.linear(x)
        if self.bn is None:
            return x
        return self.bn(x.flatten(0, 1)).unflatten(0, x.shape[:2])
