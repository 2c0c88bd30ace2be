"""The maths as plain torch functions; nothing here imports an mm* package."""
from .anchor_attention import (anchor_assignment, anchor_attention,
                               anchor_cross_attention, attention_from_scores,
                               cross_attention_from_scores, refine_anchors)

__all__ = [
    'anchor_assignment', 'anchor_attention', 'anchor_cross_attention',
    'attention_from_scores', 'cross_attention_from_scores', 'refine_anchors'
]
