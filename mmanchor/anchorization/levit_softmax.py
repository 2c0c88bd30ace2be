"""What LeViT's softmax attention compares, for anchors to be fitted to."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.layers.conv_bn import LinearBN, fold_batch_norm
from ..models.layers.levit import LevitSoftmaxAttention


@dataclass
class LevitSoftmax:
    """A LeViT attention as :func:`~mmanchor.anchorization.fitting.fit_anchors` asks.

    Args:
        attn: The attention.
    """

    attn: LevitSoftmaxAttention

    @property
    def weight(self) -> Tensor:
        """Of the input projection."""
        return self.attn.in_proj.linear.weight

    def queries_and_keys(self, tokens: Tensor) -> Tensor:
        """Both of tokens (T, C), by head: (heads, 2 * T, D).

        A subsampling has queries of every fourth token; all others have them
        here too, being of the same kind.
        """
        width = self.attn.key_dims
        points = self._by_head(self.attn.in_proj, tokens)
        if self.attn.query_proj is not None:
            queries = self._by_head(self.attn.query_proj, tokens)
            points = torch.cat((queries, points), dim=2)
        points = points[..., : 2 * width].unflatten(2, (2, width))
        return points.transpose(1, 2).flatten(1, 2)

    def _by_head(self, projection: LinearBN, tokens: Tensor) -> Tensor:
        """(T, C) -> (heads, T, P), by the statistics of the training."""
        weight, bias = fold_batch_norm(
            projection.linear.weight, projection.bn.state_dict(), projection.eps
        )
        projected = F.linear(tokens, weight, bias)
        return projected.unflatten(1, (self.attn.num_heads, -1)).transpose(0, 1)


def find_levit_softmax(model: nn.Module) -> dict[str, LevitSoftmax]:
    """All softmax attentions of an ``AnchorLeViT``, by their names."""
    return {
        name: LevitSoftmax(module)
        for name, module in model.named_modules()
        if isinstance(module, LevitSoftmaxAttention)
    }
