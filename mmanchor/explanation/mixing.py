r"""How anchor attention mixes the tokens of one image, in numbers.

The attention of a head is the matrix :math:`A_q \Delta^{-1} A_k^\top` (Eq. 11
of AnchorFormer, arXiv 2505.16463), where A_q = A_k unless the attention
subsamples. Nothing here forms that matrix: one row takes N M multiply-adds.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AnchorMix:
    """The anchors' weights in one layer, for one image.

    Args:
        log_assign: log A_k, (heads, N, M): how much of each token goes to
            each anchor.
        query_assign: A_q, (heads, N', M): how much of each output token comes
            from each anchor.
        links: T, (heads, M, M), of :func:`mmanchor.ops.anchor_attention.linked_means`:
            what anchors take of each other; ``None`` in the paper's form.
    """

    log_assign: Tensor
    query_assign: Tensor
    links: Tensor | None = None

    @classmethod
    def of(
        cls, key_scores: Tensor, query_scores: Tensor | None = None, links: Tensor | None = None
    ) -> 'AnchorMix':
        """From scores (heads, N, M); ``None`` if the queries are the keys.

        Example:
            >>> AnchorMix.of(torch.zeros(1, 4, 2)).assign[0, 0]
            tensor([0.5000, 0.5000])
        """
        log_assign = key_scores.log_softmax(dim=-1)
        if query_scores is None:
            return cls(log_assign, log_assign.exp(), links)
        return cls(log_assign, query_scores.softmax(dim=-1), links)

    @property
    def num_heads(self) -> int:
        """Number of heads."""
        return self.log_assign.shape[0]

    @property
    def num_anchors(self) -> int:
        """M, number of anchors of a head."""
        return self.log_assign.shape[2]

    @property
    def assign(self) -> Tensor:
        """A, (heads, N, M): the weights of a token over the anchors sum to 1."""
        return self.log_assign.exp()

    @property
    def share(self) -> Tensor:
        """The part of all tokens that each anchor gathers, (heads, M); sums to 1."""
        return self.assign.mean(dim=1)

    @property
    def in_use(self) -> Tensor:
        """How many anchors are in use, (heads,), from 1 to M.

        The exponential of the entropy of :attr:`share`: M if all anchors gather
        the same, 1 if one gathers everything.
        """
        return _entropy(self.share).exp()

    @property
    def contrast(self) -> Tensor:
        """How clearly the anchors divide the tokens, (heads,), 0 to log M.

        The mutual information of token and anchor: 0 if every token goes to the
        anchors alike, so that the anchors' maps are flat.
        """
        return _entropy(self.share) - _entropy(self.assign).mean(dim=1)

    def sources(self, token: int) -> tuple[Tensor, Tensor]:
        r"""What the output of a token is composed of.

        Args:
            token: Index of the output token.

        Returns:
            Its weights for what the anchors gathered, (heads, M), and through
            them for all tokens, (heads, N): its row of
            :math:`A_q \Delta^{-1} A_k^\top`, or of
            :math:`A_q W \Delta^{-1} A_k^\top` with links. Both sum to 1 in each
            head. A depth-wise branch and a residual of the values, which add
            what is near, are left out.
        """
        weights = self.query_assign[:, token]
        if self.links is not None:
            # W of linked_means; the log of the mass without an underflow.
            log_mass = self.log_assign.logsumexp(dim=1, keepdim=True)
            weights = torch.einsum('hj,hjl->hl', weights, (self.links + log_mass).softmax(dim=-1))
        # Over the tokens, A Delta^-1 is the softmax of log A, without a
        # division by the mass of an anchor that gathers nothing.
        gathered = self.log_assign.softmax(dim=1)
        return weights, torch.einsum('hm,hnm->hn', weights, gathered)


def _entropy(weights: Tensor) -> Tensor:
    """Entropy over the last axis, in nats."""
    return torch.special.entr(weights).sum(dim=-1)
