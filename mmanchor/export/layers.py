"""Layers of other packages in a form that is right for every size of a graph."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ScaledUp(nn.Module):
    """mmseg's ``Upsample(scale_factor=n)`` with the size as an integer product.

    mmseg computes ``int(size * 2.0)``, a float that an exported graph takes
    as a constant: it then serves the size that it was made at, and is wrong
    at every other one without an error.

    Args:
        factor: By how much height and width grow, a whole number.
        mode: As ``F.interpolate`` has it.
        align_corners: As ``F.interpolate`` has it.
    """

    def __init__(self, factor: int, mode: str, align_corners: bool | None) -> None:
        super().__init__()
        self.factor = factor
        self.mode = mode
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, factor * H, factor * W)."""
        size = [self.factor * side for side in x.shape[2:]]
        return F.interpolate(x, size, mode=self.mode, align_corners=self.align_corners)


class AdaptiveMean(nn.Module):
    """``nn.AdaptiveAvgPool2d`` as two matrix products, for any size.

    Output row i is the mean of the input rows from floor(i H / k) to
    ceil((i + 1) H / k), and columns likewise, so that pooling is a product
    with a (k, H) and a (k, W) matrix of weights. Exporters bake the windows of
    the pooling operator for one size into the graph.

    Args:
        size: (rows, columns) of the output.

    Example:
        >>> x = torch.rand(1, 2, 7, 10)
        >>> torch.allclose(AdaptiveMean((3, 6))(x), nn.AdaptiveAvgPool2d((3, 6))(x))
        True
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, rows, columns)."""
        rows, columns = (
            window_weights(side, num, x) for side, num in zip(x.shape[2:], self.size, strict=True)
        )
        return rows @ x @ columns.transpose(0, 1)


def window_weights(side: int, num: int, like: Tensor) -> Tensor:
    """Weights of adaptive mean pooling along one axis.

    Args:
        side: Length of the input.
        num: Length of the output.
        like: Gives dtype and device.

    Returns:
        (num, side); rows sum to 1.

    Example:
        >>> window_weights(3, 2, torch.zeros(1))
        tensor([[0.5000, 0.5000, 0.0000],
                [0.0000, 0.5000, 0.5000]])
    """
    place = torch.arange(side, device=like.device)
    window = torch.arange(num, device=like.device)[:, None]
    first = window * side // num
    last = ((window + 1) * side + num - 1) // num
    inside = ((place >= first) & (place < last)).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)


def _replacement(module: nn.Module) -> nn.Module | None:
    if isinstance(module, nn.AdaptiveAvgPool2d):
        given: Any = module.output_size
        size = (given, given) if isinstance(given, int) else tuple(given)
        # One mean over everything needs no windows.
        return None if None in size or size == (1, 1) else AdaptiveMean(size)
    if type(module).__name__ == 'Upsample' and type(module).__module__.startswith('mmseg.'):
        factor = module.scale_factor
        if module.size is None and isinstance(factor, float) and factor.is_integer():
            return ScaledUp(int(factor), module.mode, module.align_corners)
    return None


@contextmanager
def exportable_layers(model: nn.Module) -> Iterator[None]:
    """Replace layers that exporters get wrong, while the block runs.

    Args:
        model: Changed in place, and restored at the end.
    """
    replaced = []
    try:
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                new = _replacement(child)
                if new is not None:
                    replaced.append((parent, name, child))
                    setattr(parent, name, new)
        yield
    finally:
        for parent, name, child in replaced:
            setattr(parent, name, child)
