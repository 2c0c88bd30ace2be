"""Models of the paper's rows that no toolbox has as a whole."""

from mmdet.models.backbones import PyramidVisionTransformerV2
from torch import Tensor

from mmanchor.registry import MODELS


@MODELS.register_module()
class TuplePVTv2(PyramidVisionTransformerV2):
    """mmdet's PVTv2 for mmpretrain's necks, which take a tuple of maps, not a list."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps of the stages in ``out_indices``, each (B, C, H, W)."""
        return tuple(super().forward(x))
