"""The released AnchorDeiT classifiers (github.com/hyzhang98/AnchorFormer).

Their model is timm's distilled ``VisionTransformer`` with another attention.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .deit import ADVICE, MADE, TRUNK_RULES, UNUSED, fit_positions
from .entries import Entries
from .renaming import Renaming, convert_state_dict
from .report import ConversionReport

# Keys and values are in one matrix, keys first, as in our model. The anchors
# are the rows of a linear layer without bias on the channels of a head.
ANCHOR_DEIT = Renaming(
    rules=(
        *TRUNK_RULES,
        (r'\.attn\.x_to_emb\.', '.attn.in_proj.'),
        (r'\.attn\.dist_anchor_B\.weight$', '.attn.anchors'),
        (r'\.attn\.to_out\.0\.', '.attn.proj.'),
    ),
    unused=UNUSED,
    made=MADE,
    advice=ADVICE,
)


def convert_anchor_deit(
    source: Mapping[str, Any], target: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Weights of a released classifier, exactly.

    Args:
        source: Result of ``compat.torch_files.arrays_of_torch``.
        target: The state dict of a classifier with an ``AnchorFormer`` with
            shared anchors and no bias in the input projection.

    Returns:
        As :func:`~.renaming.convert_state_dict`. A position embedding of
        another size is resized, and the report says so.
    """
    entries = Entries.of(source)
    fit_positions(entries, target)
    return convert_state_dict(entries, target, ANCHOR_DEIT)
