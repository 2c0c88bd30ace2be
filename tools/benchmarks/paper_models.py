"""Models that rows of the paper need and that no toolbox has whole."""

from mmdet.models.backbones import PyramidVisionTransformerV2
from torch import Tensor

from mmanchor.registry import MODELS


@MODELS.register_module()
class TuplePVTv2(PyramidVisionTransformerV2):
    """mmdet's PVTv2 for mmpretrain's necks, which refuse its list of maps."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps of the stages in ``out_indices``, each (B, C, H, W)."""
        return tuple(super().forward(x))
