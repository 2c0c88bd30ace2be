"""Pruning of tokens: which are left, and where the others stay."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenLayout:
    """Where the tokens of a layer stand in the map of all patches.

    Args:
        hw_shape: Height and width of the map in tokens, pruned ones included.
        num_extra: Number of extra tokens; they stand first and stay.
        kept: Indices of the patches that are left, (B, T), increasing;
            ``None`` while all are.
        resting: Last features of every patch, (B, H * W, C), from the layer
            that pruned last; ``None`` while all are left. What is left has
            moved on from them.
    """

    hw_shape: tuple[int, int]
    num_extra: int
    kept: Tensor | None = None
    resting: Tensor | None = None

    @property
    def num_tokens(self) -> int:
        """N of all tokens, extra and pruned ones included."""
        return self.num_extra + self.hw_shape[0] * self.hw_shape[1]

    @property
    def num_absent(self) -> int:
        """How many patches are pruned."""
        if self.kept is None:
            return 0
        return self.hw_shape[0] * self.hw_shape[1] - self.kept.shape[1]

    def select(self, params: Tensor) -> Tensor:
        """The rows of a parameter that belong to the tokens that are left.

        Args:
            params: (N, K), a row for each of all tokens.

        Returns:
            ``params`` while all tokens are left, else (B, 1, E + T, K).
        """
        if self.kept is None:
            return params
        extra = torch.arange(self.num_extra, device=self.kept.device)
        rows = torch.cat((extra.expand(len(self.kept), -1),
                          self.kept + self.num_extra), 1)  # yapf: disable
        return params[rows].unsqueeze(1)

    def prune(self, x: Tensor, scores: Tensor, num_kept: int) -> tuple[Tensor, 'TokenLayout']:
        """Keep the patches with the largest scores.

        Args:
            x: Tokens that are left so far, (B, E + T, C).
            scores: (B, T).
            num_kept: How many to keep, at least 1; where fewer are left, all
                stay.

        Returns:
            The tokens that are left now, (B, E + num_kept, C), and their
            layout.
        """
        extra, patches = self._split(x)
        if num_kept >= patches.shape[1]:
            return x, self
        chosen = scores.topk(num_kept, sorted=False)[1].sort(dim=1)[0]
        kept = chosen if self.kept is None else self.kept.gather(1, chosen)
        left = patches.gather(1, _columns(chosen, patches))
        layout = TokenLayout(self.hw_shape, self.num_extra, kept, self._fill(patches))
        return torch.cat((extra, left), dim=1), layout

    def restore(self, x: Tensor) -> Tensor:
        """All tokens: pruned ones are as they were when they were pruned.

        Args:
            x: Tokens that are left, (B, E + T, C).

        Returns:
            (B, N, C).
        """
        extra, patches = self._split(x)
        return torch.cat((extra, self._fill(patches)), dim=1)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, : self.num_extra], x[:, self.num_extra :]

    def _fill(self, patches: Tensor) -> Tensor:
        """(B, T, C) -> (B, H * W, C)."""
        if self.kept is None:
            return patches
        return self.resting.scatter(1, _columns(self.kept, patches), patches)


def _columns(index: Tensor, x: Tensor) -> Tensor:
    """(B, T) -> (B, T, C), to gather or scatter tokens like ``x``."""
    return index.unsqueeze(-1).expand(-1, -1, x.shape[2])
