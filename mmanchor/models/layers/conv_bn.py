"""Linear maps with batch normalisation, which deploying makes one map."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_NORM_TENSORS = ('weight', 'bias', 'running_mean', 'running_var')


def fold_batch_norm(
    weight: Tensor, norm: Mapping[str, Tensor], eps: float
) -> tuple[Tensor, Tensor]:
    r"""One map for a linear map and the batch normalisation after it.

    .. math:: g \, (W x - \mu) / \sqrt{\sigma^2 + \epsilon} + b

    is linear in x too. The product is taken in float64: it is done once, and
    every token would see its rounding.

    Args:
        weight: W, (out, ...), of a linear layer or a convolution.
        norm: g, b, the mean and the variance, (out, ) each, by the names that
            ``nn.BatchNorm2d`` gives them.
        eps: Added to the variance.

    Returns:
        Weight and bias of the one map, in the dtype of ``weight``.

    Example:
        >>> norm = dict(zip(_NORM_TENSORS, torch.tensor([[2.0], [1.0], [3.0], [0.25]])))
        >>> [x.item() for x in fold_batch_norm(torch.ones(1, 1), norm, 0.0)]
        [4.0, -11.0]
    """
    gain, bias, mean, variance = (norm[name].double() for name in _NORM_TENSORS)
    factor = gain / (variance + eps).sqrt()
    shape = (-1, *[1] * (weight.dim() - 1))
    folded = weight.double() * factor.view(shape)
    return folded.to(weight.dtype), (bias - mean * factor).to(weight.dtype)


def fold_checkpoint(state_dict: dict, prefix: str, eps: float) -> None:
    """Bring a map of a training checkpoint into its deploy form, in place.

    What is no such map, or has shapes that do not fit, stays for torch to
    report.

    Args:
        state_dict: The checkpoint.
        prefix: Of the map's names in it, the dot included.
        eps: Of the batch normalisation.
    """
    names = {name: f'{prefix}bn.{name}' for name in _NORM_TENSORS}
    weight = state_dict.get(f'{prefix}linear.weight')
    norm = {name: state_dict.get(full) for name, full in names.items()}
    if weight is None or any(x is None or x.shape != weight.shape[:1] for x in norm.values()):
        return
    folded = fold_batch_norm(weight, norm, eps)
    state_dict[f'{prefix}linear.weight'] = folded[0]
    state_dict[f'{prefix}linear.bias'] = folded[1]
    for full in (*names.values(), f'{prefix}bn.num_batches_tracked'):
        state_dict.pop(full, None)


class _NormedMap(nn.Module):
    """A linear map without bias and the normalisation of its output.

    Args:
        linear: The map.
        norm: Batch normalisation.
        gain: What the normalisation's weight starts at. With 0 a residual
            branch that ends here starts as none.
    """

    def __init__(self, linear: nn.Module, norm: nn.Module, gain: float) -> None:
        super().__init__()
        nn.init.constant_(norm.weight, gain)
        self.linear = linear
        self.bn = norm
        self.eps = norm.eps

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold the normalisation, in place; again, it changes nothing."""
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


class ConvBN(_NormedMap):
    """A 3 x 3 convolution that halves a map, and batch normalisation.

    Args:
        in_channels, out_channels: Widths of input and output.

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


class LinearBN(_NormedMap):
    """A linear layer of tokens, and batch normalisation over all of them.

    Args:
        in_features, out_features: Widths of input and output.
        gain: What the normalisation's weight starts at.

    Example:
        >>> LinearBN(8, 16)(torch.rand(2, 5, 8)).shape
        torch.Size([2, 5, 16])
    """

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
