"""Multiply-adds of Sparsifiner's attention: executed, and kept."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sparse_attention import SparsifinerAttention


@dataclass(frozen=True)
class SparseMacs:
    """Multiply-adds of one layer's attention for one image.

    Papers count the kept pairs as if nothing else were multiplied; what a
    path really multiplies is another number.

    Args:
        projections: Of the input and output projections.
        predictor: Of choosing the pairs; 0 where all are kept.
        pairs_executed: Of those pairs, scores and mixing, that the chosen
            path multiplies: all of them if it masks.
        pairs_kept: Of those pairs that are kept.
    """

    projections: int
    predictor: int
    pairs_executed: int
    pairs_kept: int

    @property
    def executed(self) -> int:
        """All that is multiplied."""
        return self.projections + self.predictor + self.pairs_executed

    @property
    def kept(self) -> int:
        """All that would be multiplied if only kept pairs were."""
        return self.projections + self.predictor + self.pairs_kept

    @classmethod
    def count(cls, attention: 'SparsifinerAttention', num_left: int, budget: int) -> 'SparseMacs':
        """Count at test time.

        Args:
            attention: The layer.
            num_left: N, how many tokens take part.
            budget: L, how many of them a row keeps.
        """
        heads, width = attention.num_heads, attention.head_dims
        reduced, basis = width // 2, attention.predictor.basis.shape[1]
        extra = attention.num_extra
        rows = num_left - extra
        predictor = heads * (
            (num_left + rows) * width * reduced  # reduced queries and keys
            + num_left * reduced * basis  # compressed keys
            + rows * reduced * basis  # coefficients
            + rows * basis * num_left
        )  # connectivity
        every = 2 * heads * width * num_left * num_left
        kept = 2 * heads * width * (extra * num_left + rows * budget)
        return cls(
            projections=4 * num_left * attention.embed_dims**2,
            predictor=predictor if budget < num_left else 0,
            pairs_executed=kept if attention.execution == 'gathered' else every,
            pairs_kept=kept,
        )
