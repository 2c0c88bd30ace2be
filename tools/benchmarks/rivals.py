"""Other attentions to compare with, each written from its paper.

They are for measurement only; no model uses them. Each takes queries, keys and
values (B, heads, N, D) and gives (B, heads, N, D). Letters: B batch, N tokens,
D head width, M number of agents, bases, inducing points or anchors.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmanchor.models.layers.sparsifiner import EXECUTIONS, ConnectivityPredictor
from mmanchor.models.layers.token_layout import TokenLayout
from mmanchor.ops import anchor_attention, connectivity_scores, strongest_pairs

# Settings of Sparsifiner's paper and release: the share of the tokens that a
# token attends to, and its connectivity predictor.
KEEP_RATE = 0.25
NUM_COEFFICIENTS = 8
BASIS_THRESHOLD = 0.02
# Their names in tables; Sparsifiner's by how it computes the pairs.
SOFTMAX = 'softmax (SDPA)'
OURS = 'anchor attention (ours)'
SPARSIFINERS = {each: f'Sparsifiner, {each}' for each in EXECUTIONS}


class SoftmaxAttention(nn.Module):
    r"""Softmax attention over all pairs, by torch's fused function.

    .. math:: H = \mathrm{softmax}(Q K^\top / \sqrt D) V

    Eq. 1 of "Attention Is All You Need" (arXiv 1706.03762). No parameters.
    """

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, heads, N, D) each -> (B, heads, N, D)."""
        return F.scaled_dot_product_attention(queries, keys, values)


class AnchorAttention(nn.Module):
    """Ours: :func:`mmanchor.ops.anchor_attention`. It has no queries.

    Args:
        head_dims: D.
        num_anchors: M; the anchors, (M, D), are the parameter.
    """

    def __init__(self, head_dims: int, num_anchors: int) -> None:
        super().__init__()
        self.anchors = nn.Parameter(torch.randn(num_anchors, head_dims))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, heads, N, D) each -> (B, heads, N, D)."""
        return anchor_attention(keys, values, self.anchors)


class AgentAttention(nn.Module):
    r"""Agents attend to all tokens, and queries attend to the agents.

    .. math:: H = \sigma(Q A^\top / \sqrt D) \,
              \sigma(A K^\top / \sqrt D) \, V, \quad A = \mathrm{pool}(Q)

    Agent Attention (arXiv 2312.08874), agent aggregation and broadcast. The
    agents are means of equally long runs of queries, with less than M queries
    left over; the paper pools the token map, at the same cost. Its biases and
    its depth-wise convolution of V are left out. No parameters; at least M
    tokens.

    Args:
        num_agents: M.
    """

    def __init__(self, num_agents: int) -> None:
        super().__init__()
        self.num_agents = num_agents

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, heads, N, D) each -> (B, heads, N, D)."""
        runs = queries.shape[2] // self.num_agents
        agents = queries[:, :, : runs * self.num_agents]
        agents = agents.unflatten(2, (self.num_agents, runs)).mean(dim=3)
        gathered = F.scaled_dot_product_attention(agents, keys, values)
        return F.scaled_dot_product_attention(queries, agents, gathered)


class LinearAngularAttention(nn.Module):
    r"""The linear part of angular attention.

    .. math:: 1 - \theta(q, k) / \pi = \frac12 + \frac1\pi q \cdot k + \dots,
              \quad H = \frac12 V + \frac1\pi Q (K^\top V)

    Castling-ViT (arXiv 2211.10526), linear-angular attention, with q and k of
    length 1 and, as in the paper, V itself for the constant part. The
    masked softmax attention that training adds, the release's depth-wise
    convolution of V and its division by the output's length are left out. No
    parameters.
    """

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, heads, N, D) each -> (B, heads, N, D)."""
        queries, keys = F.normalize(queries, dim=-1), F.normalize(keys, dim=-1)
        mixed = queries @ (keys.transpose(-2, -1) @ values)
        return torch.add(values * 0.5, mixed, alpha=1 / math.pi)


class EMAttention(nn.Module):
    r"""One step of expectation maximization, and its reconstruction.

    .. math:: Z = \mathrm{softmax}_M (X \mu^\top), \quad
              \mu'_j = \sum_n Z_{nj} x_n / \sum_n Z_{nj}, \quad H = Z \mu'

    EMANet (arXiv 1907.13426): responsibilities (E step), means (M step) and
    reconstruction, with T = 1 and lambda = 1. X is the values; there are no
    queries and keys.

    Args:
        head_dims: D.
        num_bases: M; the bases, (M, D), are the parameter (the paper moves
            them by a running mean instead of a gradient).
    """

    def __init__(self, head_dims: int, num_bases: int) -> None:
        super().__init__()
        self.bases = nn.Parameter(torch.randn(num_bases, head_dims))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, heads, N, D) each -> (B, heads, N, D)."""
        bases = self.bases.t().expand(*values.shape[:2], -1, -1)
        shares = (values @ bases).softmax(dim=-1)  # (B, heads, N, M)
        totals = shares.sum(dim=-2).unsqueeze(-1)  # (B, heads, M, 1)
        return shares @ (shares.transpose(-2, -1) @ values / totals)


class InducedAttention(nn.Module):
    r"""Inducing points attend to the tokens, and tokens attend to them.

    .. math:: G = \mathrm{softmax}(I K^\top / \sqrt D) V, \quad
              H = \mathrm{softmax}(Q G^\top / \sqrt D) G

    Set Transformer (arXiv 1810.00825), the attention of an induced set
    attention block, MAB(X, MAB(I, X)); projections, residuals and MLPs, here
    as for all rivals, are not part of it.

    Args:
        num_heads: Number of heads.
        head_dims: D.
        num_points: M; the points I, (heads, M, D), are the parameter.
    """

    def __init__(self, num_heads: int, head_dims: int, num_points: int) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.randn(num_heads, num_points, head_dims))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, heads, N, D) each -> (B, heads, N, D)."""
        points = self.points.expand(len(keys), -1, -1, -1)
        gathered = F.scaled_dot_product_attention(points, keys, values)
        return F.scaled_dot_product_attention(queries, gathered, gathered)


class SparsifinerPairs(nn.Module):
    """Softmax attention over a quarter of the pairs, which are predicted.

    Sparsifiner (arXiv 2303.13755) with the layers of mmanchor: the predictor
    has a basis of N // 6 vectors and 8 coefficients per token, as in the
    release, and each token attends to ceil(N / 4) tokens. Costs and
    memory grow with the square of N, whichever way the pairs are computed.
    The reconstruction loss that trains the predictor is left out.

    Args:
        num_tokens: N, the only number of tokens that it then takes.
        num_heads: Number of heads.
        head_dims: D.
        execution: 'masked' or 'gathered'.
    """

    def __init__(self, num_tokens: int, num_heads: int, head_dims: int, execution: str) -> None:
        super().__init__()
        self.layout = TokenLayout((1, num_tokens), num_extra=0)
        self.budget = math.ceil(KEEP_RATE * num_tokens)
        self.attend: Callable[..., Tensor] = EXECUTIONS[execution]
        self.predictor = ConnectivityPredictor(
            head_dims,
            num_heads,
            self.layout.hw_shape,
            0,
            max(num_tokens // 6, 1),
            NUM_COEFFICIENTS,
            BASIS_THRESHOLD,
        )

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, heads, N, D) each -> (B, heads, N, D)."""
        with torch.no_grad():  # only the loss left out trains the predictor
            scores = connectivity_scores(
                *self.predictor(queries, keys, self.layout), NUM_COEFFICIENTS, BASIS_THRESHOLD
            )
            pairs = strongest_pairs(scores, self.budget)
        del scores  # (B, heads, N, N)
        return self.attend(queries, keys, values, pairs)


class ShapeGemms(nn.Module):
    """The bound of anchor attention: matrix products of its three shapes.

    Scores (N, D) x (D, M), sums (M, N) x (N, D) and output (N, M) x (M, D) of
    every head, on contiguous random tensors, written into allocated memory.
    With ``backward`` the six products of their gradients follow: two for
    each, of the same three sizes.

    Args:
        num_matrices: B * heads.
        num_tokens: N.
        head_dims: D.
        num_anchors: M.
        backward: Whether to include the products of the gradients.
    """

    def __init__(
        self,
        num_matrices: int,
        num_tokens: int,
        head_dims: int,
        num_anchors: int,
        backward: bool = False,
    ) -> None:
        super().__init__()
        self.times = 3 if backward else 1
        for name, size in (
            ('tokens', (num_tokens, head_dims)),
            ('anchors', (num_anchors, head_dims)),
            ('assign', (num_tokens, num_anchors)),
        ):
            self.register_buffer(name, torch.randn(num_matrices, *size))
            self.register_buffer(f'{name}_out', torch.empty(num_matrices, *size))

    @torch.no_grad()
    def forward(self, *unused: Tensor) -> None:
        """Multiply; inputs are ignored."""
        products = (
            (self.tokens, self.anchors.transpose(1, 2), self.assign_out),
            (self.assign.transpose(1, 2), self.tokens, self.anchors_out),
            (self.assign, self.anchors, self.tokens_out),
        )
        for left, right, out in products * self.times:
            torch.bmm(left, right, out=out)


def build_rivals(
    num_heads: int, head_dims: int, size: int
) -> dict[str, Callable[[int], nn.Module]]:
    """Functions that build each attention for N tokens, by the name in tables.

    Args:
        num_heads: Number of heads.
        head_dims: D.
        size: M.

    Returns:
        The functions; softmax attention, the baseline, is first.

    Example:
        >>> q, k, v = torch.rand(3, 1, 2, 9, 8)
        >>> build = build_rivals(2, 8, size=4)['Agent attention']
        >>> build(9)(q, k, v).shape
        torch.Size([1, 2, 9, 8])
    """
    return {
        SOFTMAX: lambda n: SoftmaxAttention(),
        OURS: lambda n: AnchorAttention(head_dims, size),
        'Agent attention': lambda n: AgentAttention(size),
        'linear-angular attention': lambda n: LinearAngularAttention(),
        'EM attention, one step': lambda n: EMAttention(head_dims, size),
        'induced set attention': lambda n: InducedAttention(num_heads, head_dims, size),
        **{
            name: lambda n, execution=execution: SparsifinerPairs(
                n, num_heads, head_dims, execution
            )
            for execution, name in SPARSIFINERS.items()
        },
    }
