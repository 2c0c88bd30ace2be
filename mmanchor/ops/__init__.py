"""The maths as plain torch functions; nothing here imports an mm* package."""

from .anchor_attention import (
    anchor_assignment,
    anchor_attention,
    anchor_cross_attention,
    attention_from_scores,
    cross_attention_from_scores,
    linked_means,
    refine_anchors,
)
from .folded_attention import assign_heads, project_means, spread_means, token_sums
from .fused_attention import fused_anchor_attention, fused_attention_from_scores
from .parallel_attention import parallel_anchor_attention
from .sparse_attention import (
    basis_coefficients,
    connectivity_scores,
    dense_attention,
    gathered_attention,
    low_rank_attention,
    masked_attention,
    pairs_to_mask,
    reconstruction_loss,
    strongest_pairs,
)

__all__ = [
    'anchor_assignment',
    'anchor_attention',
    'anchor_cross_attention',
    'assign_heads',
    'attention_from_scores',
    'basis_coefficients',
    'connectivity_scores',
    'cross_attention_from_scores',
    'dense_attention',
    'fused_anchor_attention',
    'fused_attention_from_scores',
    'gathered_attention',
    'linked_means',
    'low_rank_attention',
    'masked_attention',
    'pairs_to_mask',
    'parallel_anchor_attention',
    'project_means',
    'reconstruction_loss',
    'refine_anchors',
    'spread_means',
    'strongest_pairs',
    'token_sums',
]
