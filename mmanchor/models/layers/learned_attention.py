"""Anchors that are parameters: what AnchorFormer is about."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import (
    anchor_attention,
    assign_heads,
    attention_from_scores,
    project_means,
    spread_means,
    token_sums,
)
from ...ops.anchor_attention import is_autocast_on
from ...registry import MODELS
from .attention import Attention, check_num_anchors
from .exporting import is_exporting


class FoldedWeights(NamedTuple):
    """Weights of :mod:`mmanchor.ops.folded_attention`.

    Args:
        num_heads: Number of heads.
        score_weight: From tokens to scores, (heads * M, C).
        score_bias: (heads * M,), or ``None``.
        value_weight: From tokens to values, (C, C).
        value_bias: (C,), or ``None``.
        out_weight: Of the output projection, (C, C).
    """

    num_heads: int
    score_weight: Tensor
    score_bias: Tensor | None
    value_weight: Tensor
    value_bias: Tensor | None
    out_weight: Tensor

    def assign(self, x: Tensor) -> Tensor:
        """A of tokens (B, N, C): (B, N, heads * M)."""
        scores = F.linear(x, self.score_weight, self.score_bias)
        return assign_heads(scores, self.num_heads)

    def values(self, x: Tensor) -> Tensor:
        """Values of tokens (B, N, C), heads side by side: (B, N, C)."""
        return F.linear(x, self.value_weight, self.value_bias)

    def project(self, sums: Tensor, mass: Tensor) -> Tensor:
        """What each anchor gives to its tokens, (B, heads * M, C)."""
        return project_means(
            sums, mass, self.value_weight, self.value_bias, self.out_weight, self.num_heads
        )


@MODELS.register_module()
class LearnedAnchorAttention(Attention):
    r"""Anchors that are parameters: Fig. 3b, the "Diff." row of Table 4.

    There are no queries, and keys are used for scores only, so that the
    deploy form folds key projection and anchors into one map of C to
    heads * M scores, :math:`S = X (W_K W_S^\top)`: exact, and fewer
    multiply-adds while ``(num_heads - 1) * num_anchors < embed_dims``. From
    about 2 M tokens on it does not project every token to values and from
    outputs either, but the anchors' means of the tokens
    (:mod:`mmanchor.ops.folded_attention`): exact, too.

    Args:
        embed_dims, num_heads, **kwargs: As :class:`Attention` has them.
        num_anchors: M.
        per_head_anchors: Whether each head has its own anchors; the released
            classifier shares them.
        anchor_std: Standard deviation of the anchors' normal initialisation.
        deploy: Build the folded form. It loads training-form checkpoints
            too, folding them on the way.

    Example:
        >>> attention = LearnedAnchorAttention(32, num_heads=2, num_anchors=4)
        >>> attention(torch.rand(1, 9, 32)).shape
        torch.Size([1, 9, 32])
    """

    backbone_args = ('num_anchors', 'deploy')

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        *,
        num_anchors: int = 30,
        per_head_anchors: bool = False,
        anchor_std: float = 1.0,
        deploy: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(embed_dims, num_heads, num_projections=2, **kwargs)
        check_num_anchors(num_anchors)
        self.num_anchors = num_anchors
        shape = (num_anchors, self.head_dims)
        if per_head_anchors:
            shape = (num_heads, *shape)
        self.anchors = nn.Parameter(torch.empty(shape))
        nn.init.normal_(self.anchors, std=anchor_std)
        self.deploy = False
        if deploy:
            self.switch_to_deploy()

    def forward(self, x: Tensor, hw_shape: tuple[int, int] | None = None) -> Tensor:
        """As :meth:`Attention.forward`."""
        if not self._projects_means(x):
            return super().forward(x, hw_shape)
        weights = self.folded_weights()
        assign = weights.assign(x)
        means = weights.project(*token_sums(assign, x))
        return self.proj_drop(spread_means(assign, means, self.proj.bias))

    def _projects_means(self, x: Tensor) -> bool:
        """Whether the anchors' means are projected, and not the tokens.

        The convolution wants the values of all tokens, and in half precision
        the sums would be the only products that are taken in float32.
        """
        # Multiply-adds of the tokens' way less the means', divided by 2 C.
        gain = self.embed_dims - (self.num_heads - 1) * self.num_anchors
        if not is_exporting():  # an exported graph serves any number
            gain = x.shape[1] * gain - self.num_anchors * self.embed_dims
        return (
            self.deploy
            and self.depthwise is None
            and bool(gain > 0)
            and x.dtype in (torch.float32, torch.float64)
            and not is_autocast_on(x)
        )

    def mix(self, x: Tensor, hw_shape: tuple[int, int] | None) -> tuple[Tensor, Tensor]:
        widths = (self.in_proj.out_features - self.embed_dims, self.embed_dims)
        scores, values = self.in_proj(x).split(widths, dim=-1)
        scores = scores.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        (values,) = self._split_heads(values)
        if self.deploy:
            return attention_from_scores(scores, values), values
        # What would be scores in the deploy form are keys here.
        return anchor_attention(scores, values, self.anchors), values

    def folded_weights(self) -> 'FoldedWeights':
        """The weights of the deploy form, which the training form folds."""
        weight, bias = self.in_proj.weight, self.in_proj.bias
        if not self.deploy:
            weight = self._fold(weight, self.anchors)
            bias = bias if bias is None else self._fold(bias, self.anchors)
        num_scores = self.num_heads * self.num_anchors
        return FoldedWeights(
            self.num_heads,
            weight[:num_scores],
            None if bias is None else bias[:num_scores],
            weight[num_scores:],
            None if bias is None else bias[num_scores:],
            self.proj.weight,
        )

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold keys and anchors, in place; calling it again changes nothing."""
        if self.deploy:
            return
        weight = self._fold(self.in_proj.weight, self.anchors)
        folded = nn.Linear(
            self.embed_dims,
            weight.shape[0],
            bias=self.in_proj.bias is not None,
            device=weight.device,
            dtype=weight.dtype,
        )
        folded.weight.copy_(weight)
        if self.in_proj.bias is not None:
            folded.bias.copy_(self._fold(self.in_proj.bias, self.anchors))
        folded.requires_grad_(self.in_proj.weight.requires_grad)
        folded.train(self.training)
        self.in_proj = folded
        del self.anchors
        self.deploy = True

    def _fold(self, param: Tensor, anchors: Tensor) -> Tensor:
        """Replace the keys' C rows of ``param`` by heads * M rows of scores.

        The product is taken in float64: it is done once, and its rounding
        would be seen by every token.
        """
        keys, values = param.split(self.embed_dims)
        keys = keys.reshape(self.num_heads, self.head_dims, -1).double()
        scores = anchors.double() @ keys * self.head_dims**-0.5
        scores = scores.reshape(-1, *param.shape[1:]).to(param.dtype)
        return torch.cat((scores, values))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Let the deploy form load a checkpoint of the training form."""
        anchors = state_dict.get(f'{prefix}anchors')
        if self.deploy and anchors is not None:
            del state_dict[f'{prefix}anchors']
            for name in (f'{prefix}in_proj.weight', f'{prefix}in_proj.bias'):
                if name in state_dict:
                    state_dict[name] = self._fold(state_dict[name], anchors)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
