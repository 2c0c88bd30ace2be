"""The released AnchorDeiT classifiers (github.com/hyzhang98/AnchorFormer).

Their code is a distilled ``VisionTransformer`` of timm with another attention.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .deit import MADE, TRUNK_RULES, UNUSED, explain_classes, fit_positions
from .renaming import Renaming, convert_state_dict
from .report import ConversionReport

# Keys and values lie in one matrix as ours do, keys first; the anchors are
# the rows of a linear map of a head's width, without bias.
ANCHOR_DEIT = Renaming(
    rules=TRUNK_RULES
    + (
        (r'\.attn\.x_to_emb\.', '.attn.in_proj.'),
        (r'\.attn\.dist_anchor_B\.weight$', '.attn.anchors'),
        (r'\.attn\.to_out\.0\.', '.attn.proj.'),
    ),
    unused=UNUSED,
    made=MADE,
)


def convert_anchor_deit(
    source: Mapping[str, Any], target: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Weights of a released classifier, exactly.

    Args:
        source: What ``compat.torch_files.arrays_of_torch`` gives.
        target: The state dict of a classifier on an ``AnchorFormer`` with
            shared anchors, whose input projection has no bias.

    Returns:
        As :func:`~.renaming.convert_state_dict`. A position embedding of
        another size is resized; the report says so.
    """
    entries, resized = fit_positions(source, target)
    state, report = convert_state_dict(entries, target, ANCHOR_DEIT)
    report.adapted.update(resized)
    explain_classes(report)
    return state, report
