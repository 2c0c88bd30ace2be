"""Multiply-adds of Sparsifiner's attention: executed, and kept."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .attention import SparsifinerAttention


@dataclass(frozen=True)
class SparseMacs:
    """Multiply-adds of one layer's attention for one image.

    Papers count only the kept pairs. What an implementation multiplies is
    another number, so both are given.

    Args:
        projections: Multiply-adds of the input and output projections.
        predictor: Those of predicting the pairs; 0 if all pairs are kept.
        pairs_executed: Those of scores and mixing that the chosen execution
            computes: of all pairs if it masks.
        pairs_kept: Those of scores and mixing of the kept pairs.
    """

    projections: int
    predictor: int
    pairs_executed: int
    pairs_kept: int

    @property
    def executed(self) -> int:
        """Multiply-adds that are computed."""
        return self.projections + self.predictor + self.pairs_executed

    @property
    def kept(self) -> int:
        """Multiply-adds if only kept pairs were computed."""
        return self.projections + self.predictor + self.pairs_kept

    @classmethod
    def count(cls, attention: 'SparsifinerAttention', num_left: int, budget: int) -> 'SparseMacs':
        """Count those of inference.

        Args:
            attention: The layer.
            num_left: N, number of tokens that are left.
            budget: L, number of tokens that each row keeps.
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
