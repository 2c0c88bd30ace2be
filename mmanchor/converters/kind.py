"""One kind of conversion of ``mmanchor convert``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .report import ConversionReport

Result = tuple[dict[str, Tensor], ConversionReport]


@dataclass(frozen=True)
class Kind:
    """One kind of conversion: a value of :data:`~mmanchor.converters.KINDS`.

    Args:
        convert: (entries of the file, state dict of the model) -> (converted
            state dict, report). It does not modify its inputs.
        reads: Format of the file: ``'paddle'`` for ``.pdparams``, ``'torch'``
            for ``.pth`` and ``.safetensors``. Both are unpickled with an
            allow-list.
        source: Short description of the file for help and messages.
        calibrates: Whether ``convert`` also takes ``anchors`` computed from
            images: name of an attention in the model -> (heads, M, D).
    """

    convert: Callable[[Mapping[str, Any], Mapping[str, Tensor]], Result]
    reads: str
    source: str
    calibrates: bool = False
