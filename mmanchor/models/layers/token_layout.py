"""The layout of a trunk's tokens: the map they form, and which are pruned."""

from typing import NamedTuple

import torch
from torch import Tensor


class TokenLayout(NamedTuple):
    """Where the tokens of a layer are in the map of all patches.

    Args:
        hw_shape: Height and width of the map in tokens, pruned ones included.
        num_extra: E, number of extra tokens; they come first and are never
            pruned.
        kept: Indices of the patches that are left, (B, T), increasing;
            ``None`` if none is pruned.
        resting: Last features of every patch, (B, H * W, C), from the layer
            that pruned last; ``None`` if none is pruned. Later layers update
            the patches that are left, but not ``resting``.
    """

    hw_shape: tuple[int, int]
    num_extra: int
    kept: Tensor | None = None
    resting: Tensor | None = None

    @property
    def num_tokens(self) -> int:
        """N, the number of all tokens, extra and pruned ones included."""
        return self.num_extra + self.hw_shape[0] * self.hw_shape[1]

    @property
    def num_absent(self) -> int:
        """Number of pruned patches."""
        if self.kept is None:
            return 0
        return self.hw_shape[0] * self.hw_shape[1] - self.kept.shape[1]

    def select(self, params: Tensor) -> Tensor:
        """Select the rows of a parameter that belong to the tokens left.

        Args:
            params: (N, K), one row for each of all tokens.

        Returns:
            ``params`` if no token is pruned, else (B, 1, E + T, K).
        """
        if self.kept is None:
            return params
        extra = torch.arange(self.num_extra, device=self.kept.device)
        rows = torch.cat((extra.expand(len(self.kept), -1), self.kept + self.num_extra), dim=1)
        return params[rows].unsqueeze(1)

    def prune(self, x: Tensor, scores: Tensor, num_kept: int) -> tuple[Tensor, 'TokenLayout']:
        """Keep the patches with the largest scores.

        Args:
            x: Tokens that are left so far, (B, E + T, C).
            scores: Scores of the patches, (B, T).
            num_kept: How many to keep, at least 1. If fewer are left, all of
                them are kept.

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
        """Put pruned tokens back, with the features they were pruned with.

        Args:
            x: Tokens that are left, (B, E + T, C).

        Returns:
            All tokens, (B, N, C); ``x`` itself if none is pruned.
        """
        if self.kept is None:
            return x
        extra, patches = self._split(x)
        return torch.cat((extra, self._fill(patches)), dim=1)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, : self.num_extra], x[:, self.num_extra :]

    def _fill(self, patches: Tensor) -> Tensor:
        """(B, T, C) -> (B, H * W, C)."""
        if self.kept is None or self.resting is None:
            return patches
        return self.resting.scatter(1, _columns(self.kept, patches), patches)


def _columns(index: Tensor, x: Tensor) -> Tensor:
    """(B, T) -> (B, T, C), to gather or scatter tokens like ``x``."""
    return index.unsqueeze(-1).expand(-1, -1, x.shape[2])
