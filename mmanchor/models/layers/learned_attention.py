"""Attention through learned anchors, the core of AnchorFormer."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import (
    anchor_attention,
    assign_heads,
    attention_from_scores,
    fused_anchor_attention,
    fused_attention_from_scores,
    project_means,
    spread_means,
    token_sums,
)
from ...ops.anchor_attention import is_autocast_on
from ...registry import MODELS
from .attention import Attention, check_num_anchors
from .exporting import is_exporting

# First link of an anchor to itself, where those to others are 0: of 30 anchors
# with as many tokens each, it takes 84 % from its own.
LINK_TO_ITSELF = 5.0


class FoldedWeights(NamedTuple):
    """Weights for :mod:`mmanchor.ops.folded_attention`.

    Args:
        num_heads: Number of heads.
        score_weight: Weight from tokens to scores, (heads * M, C).
        score_bias: Its bias, (heads * M,), or ``None``.
        value_weight: Weight from tokens to values, (C, C).
        value_bias: Its bias, (C,), or ``None``.
        out_weight: Weight of the output projection, (C, C).
        links: What anchors take of each other, (heads, M, M), or ``None``.
    """

    num_heads: int
    score_weight: Tensor
    score_bias: Tensor | None
    value_weight: Tensor
    value_bias: Tensor | None
    out_weight: Tensor
    links: Tensor | None = None

    def assign(self, x: Tensor) -> Tensor:
        """Assign tokens (B, N, C) to anchors: A, (B, N, heads * M)."""
        scores = F.linear(x, self.score_weight, self.score_bias)
        return assign_heads(scores, self.num_heads)

    def values(self, x: Tensor) -> Tensor:
        """Values of tokens (B, N, C), heads side by side: (B, N, C)."""
        return F.linear(x, self.value_weight, self.value_bias)

    def project(self, sums: Tensor, mass: Tensor) -> Tensor:
        """What each anchor contributes to a token's output, (B, heads * M, C)."""
        return project_means(
            sums,
            mass,
            self.value_weight,
            self.value_bias,
            self.out_weight,
            self.num_heads,
            self.links,
        )


@MODELS.register_module()
class LearnedAnchorAttention(Attention):
    r"""Anchors that are parameters: Fig. 3b, the "Diff." row of Table 4.

    There are no queries, and keys are used for scores only. The deploy form
    therefore folds the key projection and the anchors into one projection
    from C to heads * M scores, :math:`S = X (W_K W_S^\top)`. This is exact,
    and saves multiply-adds if ``(num_heads - 1) * num_anchors < embed_dims``.
    From about 2 M tokens on, the value and output projections are applied to
    the anchors' means and not to every token
    (:mod:`mmanchor.ops.folded_attention`), which is exact, too.

    Args:
        embed_dims, num_heads, **kwargs: As in :class:`Attention`.
        num_anchors: M, number of anchors.
        per_head_anchors: Whether each head has its own anchors; in the
            released classifier all heads share them.
        anchor_std: Standard deviation of the anchors' normal initialization.
        value_residual: Beyond the paper: add :math:`r_h V_h` to the mixed
            values of head h, with one learned :math:`r_h` per head that
            starts at 0. A token can then keep its own value, which attention
            through few anchors averages away.
        learn_scale: Beyond the paper: multiply the scores of head h by a
            learned :math:`s_h` that starts at 1. The deploy form folds it.
        anchor_bias: Beyond the paper: add a learned bias, which starts at 0, to
            the scores of each anchor. With :math:`-s |w_j|^2 / 2` for the
            anchor :math:`w_j`, tokens are assigned by their distance. The deploy
            form folds it.
        anchor_links: Beyond the paper: anchors hand out mixtures of what all of
            them gathered, with learned links
            (:func:`mmanchor.ops.linked_means`); each starts with most of its
            own. The attention is then not symmetric, as softmax attention is
            not.
        fused: Attend by Triton's kernels (:mod:`mmanchor.ops.fused_attention`)
            where they run and there are no ``anchor_links``, or ``anchor_bias``
            in the training form. They have not been measured on a GPU.
        deploy: Build the deploy form. It loads checkpoints of the training
            form, too, which are folded when they are loaded.

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
        value_residual: bool = False,
        learn_scale: bool = False,
        anchor_bias: bool = False,
        anchor_links: bool = False,
        fused: bool = False,
        deploy: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(embed_dims, num_heads, num_projections=2, **kwargs)
        check_num_anchors(num_anchors)
        self.num_anchors = num_anchors
        heads = (num_heads,) if per_head_anchors else ()
        self.anchors = nn.Parameter(torch.empty(*heads, num_anchors, self.head_dims))
        nn.init.normal_(self.anchors, std=anchor_std)
        self.value_residual = nn.Parameter(torch.zeros(num_heads)) if value_residual else None
        self.score_scale = nn.Parameter(torch.ones(num_heads)) if learn_scale else None
        self.anchor_bias = (
            nn.Parameter(torch.zeros(num_heads, num_anchors)) if anchor_bias else None
        )
        shape = (num_heads, num_anchors, num_anchors)
        self.links = nn.Parameter(first_links(shape)) if anchor_links else None
        self.fused = fused
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
        """Whether to project the anchors' means instead of all tokens.

        Not with the depth-wise convolution or the residual, which need the
        values of all tokens, and not in half precision, where only the sums
        would be computed in float32.
        """
        # Multiply-adds saved by projecting the means, divided by 2 C.
        gain = self.embed_dims - (self.num_heads - 1) * self.num_anchors
        if not is_exporting():  # an exported graph is for any number of tokens
            gain = x.shape[1] * gain - self.num_anchors * self.embed_dims
        return (
            self.deploy
            and not self.fused
            and self.depthwise is None
            and self.value_residual is None
            and bool(gain > 0)
            and x.dtype in (torch.float32, torch.float64)
            and not is_autocast_on(x)
        )

    def mix(self, x: Tensor, hw_shape: tuple[int, int] | None) -> tuple[Tensor, Tensor]:
        widths = (self.in_proj.out_features - self.embed_dims, self.embed_dims)
        scores, values = self.in_proj(x).split(widths, dim=-1)
        scores = scores.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        (values,) = self._split_heads(values)
        fused = self.fused and self.links is None and not is_exporting()
        if self.deploy and fused:
            out = fused_attention_from_scores(scores, values)
        elif self.deploy:
            out = attention_from_scores(scores, values, self.links)
        else:  # what is split off as scores are keys
            anchors = _scaled(self.anchors, self.score_scale)
            if fused and self.anchor_bias is None:
                out = fused_anchor_attention(scores, values, anchors)
            else:
                out = anchor_attention(
                    scores, values, anchors, bias=self.anchor_bias, links=self.links
                )
        if self.value_residual is not None:
            out = out + self.value_residual[:, None, None] * values
        return out, values

    def residual_weights(self) -> tuple[Tensor, Tensor | None]:
        r"""The residual of the values from tokens to outputs, as one projection.

        Returns:
            Weight :math:`\sum_h W^O_h r_h W^V_h`, (C, C), and bias (C,) or
            ``None``, for ``nn.functional.linear``.

        Raises:
            ValueError: If there is no residual.
        """
        if self.value_residual is None:
            raise ValueError('residual_weights needs value_residual=True')
        weights = self.folded_weights()
        factors = self.value_residual.repeat_interleave(self.head_dims)
        out_weight = weights.out_weight * factors
        bias = weights.value_bias
        return out_weight @ weights.value_weight, None if bias is None else out_weight @ bias

    def folded_weights(self) -> 'FoldedWeights':
        """The weights of the deploy form, also from the training form."""
        weight: Tensor = self.in_proj.weight
        bias: Tensor | None = self.in_proj.bias
        if not self.deploy:
            weight, bias = self._folded(
                weight, bias, self.anchors, self.score_scale, self.anchor_bias
            )
        num_scores = self.num_heads * self.num_anchors
        return FoldedWeights(
            self.num_heads,
            weight[:num_scores],
            None if bias is None else bias[:num_scores],
            weight[num_scores:],
            None if bias is None else bias[num_scores:],
            self.proj.weight,
            self.links,
        )

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold keys and anchors, in place; calling it again changes nothing."""
        if self.deploy:
            return
        weight, bias = self._folded(
            self.in_proj.weight, self.in_proj.bias, self.anchors, self.score_scale, self.anchor_bias
        )
        folded = nn.Linear(
            self.embed_dims,
            weight.shape[0],
            bias=bias is not None,
            device=weight.device,
            dtype=weight.dtype,
        )
        folded.weight.copy_(weight)
        if bias is not None:
            folded.bias.copy_(bias)
        folded.requires_grad_(self.in_proj.weight.requires_grad)
        folded.train(self.training)
        self.in_proj = folded
        del self.anchors
        self.score_scale = self.anchor_bias = None
        self.deploy = True

    def _folded(
        self,
        weight: Tensor,
        bias: Tensor | None,
        anchors: Tensor,
        scale: Tensor | None,
        anchor_bias: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the projection to scores and values."""
        anchors = _scaled(anchors.double(), scale)
        bias = None if bias is None else self._fold(bias, anchors)
        if anchor_bias is not None:
            if bias is None:
                bias = weight.new_zeros(anchor_bias.numel() + self.embed_dims)
            bias = bias + F.pad(anchor_bias.flatten().to(bias), (0, self.embed_dims))
        return self._fold(weight, anchors), bias

    def _fold(self, param: Tensor, anchors: Tensor) -> Tensor:
        """Replace the C rows of the keys in ``param`` by heads * M rows of scores.

        It is computed in float64, since every token would carry its rounding
        error.
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
            parts = ('anchors', 'score_scale', 'anchor_bias')
            given = [state_dict.pop(f'{prefix}{name}', None) for name in parts]
            names = (f'{prefix}in_proj.weight', f'{prefix}in_proj.bias')
            if names[0] in state_dict:
                folded = self._folded(state_dict[names[0]], state_dict.get(names[1]), *given)
                state_dict.update(
                    (k, v) for k, v in zip(names, folded, strict=True) if v is not None
                )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def first_links(shape: tuple[int, ...]) -> Tensor:
    """Links, (heads, M, M), with which each anchor takes most from its own."""
    return LINK_TO_ITSELF * torch.eye(shape[-1]).repeat(shape[0], 1, 1)


def _scaled(anchors: Tensor, scale: Tensor | None) -> Tensor:
    """Anchors times the scale of each head: (heads, M, D) unless it is ``None``."""
    return anchors if scale is None else anchors * scale[:, None, None]
