"""What ``mmanchor convert`` has to know of a conversion."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .report import ConversionReport

Result = tuple[dict[str, Tensor], ConversionReport]


@dataclass(frozen=True)
class Kind:
    """One conversion: a row of :data:`~mmanchor.converters.KINDS`.

    Args:
        convert: (entries of the file, state dict of the model) -> (what has
            found its place, what became of everything). It changes neither.
        reads: How the file is read: ``'paddle'`` unpickles ``.pdparams``,
            ``'torch'`` loads ``.pth`` and ``.safetensors``; both through an
            allow-list.
        source: What the file is, in a few words for help and messages.
        calibrates: Whether ``convert`` also takes ``anchors``, drawn from
            images: name of an attention in the model -> (heads, M, D).
    """

    convert: Callable[[Mapping[str, Any], Mapping[str, Tensor]], Result]
    reads: str
    source: str
    calibrates: bool = False
