"""Distances to the sides of a box from their distributions."""

import torch.nn.functional as F
from mmdet.models.dense_heads.gfl_head import Integral
from torch import Tensor

from ...ops.anchor_attention import at_least_float32, no_autocast


class PreciseIntegral(Integral):
    r"""mmdet's ``Integral``, computed in float32 also under autocast.

    .. math:: d = \sum_{i=0}^{r} i \, \mathrm{softmax}(x)_i

    Eq. 3 of Generalized Focal Loss (arXiv 2006.04388). In bfloat16 the sides
    of boxes would be off by up to a pixel.

    Args:
        reg_max: r, the largest distance, in strides.

    Example:
        >>> import torch
        >>> PreciseIntegral(7)(torch.zeros(2, 32))[0]
        tensor([3.5000, 3.5000, 3.5000, 3.5000])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Logits (..., 4 * (reg_max + 1)) to distances (P, 4), in strides.

        They are float32, or float64 for logits in float64.
        """
        with no_autocast(x):
            shares = at_least_float32(x).reshape(-1, self.reg_max + 1).softmax(dim=1)
            bins = self.project
            if bins.dtype != shares.dtype:  # dynamo exports no cast without effect
                bins = bins.to(shares.dtype)
            return F.linear(shares, bins).reshape(-1, 4)
