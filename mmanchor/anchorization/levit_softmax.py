"""Queries and keys of LeViT's softmax attention, to which anchors are fitted."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.layers.conv_bn import LinearBN, fold_batch_norm
from ..models.layers.levit import LevitSoftmaxAttention


@dataclass
class LevitSoftmax:
    """A LeViT attention for :func:`~mmanchor.anchorization.fitting.fit_anchors`.

    Args:
        attn: The attention.
    """

    attn: LevitSoftmaxAttention

    @property
    def weight(self) -> Tensor:
        """Weight of the input projection."""
        return self.attn.in_proj.linear.weight

    def queries_and_keys(self, tokens: Tensor) -> Tensor:
        """Queries and keys of tokens (T, C), by head: (heads, 2 * T, D).

        A subsampling attention computes queries for every fourth token; here
        they are computed for all tokens.
        """
        width = self.attn.key_dims
        points = self._by_head(self.attn.in_proj, tokens)
        if self.attn.query_proj is not None:
            queries = self._by_head(self.attn.query_proj, tokens)
            points = torch.cat((queries, points), dim=2)
        points = points[..., : 2 * width].unflatten(2, (2, width))
        return points.transpose(1, 2).flatten(1, 2)

    def _by_head(self, projection: LinearBN, tokens: Tensor) -> Tensor:
        """(T, C) -> (heads, T, P), with the running statistics."""
        assert projection.bn is not None  # softmax attention is never fused
        weight, bias = fold_batch_norm(
            projection.linear.weight, projection.bn.state_dict(), projection.eps
        )
        projected = F.linear(tokens, weight, bias)
        return projected.unflatten(1, (self.attn.num_heads, -1)).transpose(0, 1)


def find_levit_softmax(model: nn.Module) -> dict[str, LevitSoftmax]:
    """All softmax attentions of an ``AnchorLeViT``, by name."""
    return {
        name: LevitSoftmax(module)
        for name, module in model.named_modules()
        if isinstance(module, LevitSoftmaxAttention)
    }
