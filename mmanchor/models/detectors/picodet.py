"""PicoDet, a one-stage detector for small budgets."""

from mmdet.models.detectors import SingleStageDetector

from ...registry import MODELS


@MODELS.register_module()
class PicoDet(SingleStageDetector):
    """PicoDet (arXiv 2111.00902): a light backbone, CSP-PAN, a shared tower.

    Its parts are the backbone :class:`~mmanchor.models.ESNet` or
    :class:`~mmanchor.models.AnchorESNet`, the neck
    :class:`~mmanchor.models.CSPPAN` and the head
    :class:`~mmanchor.models.PicoDetHead`. Arguments and methods are those of
    mmdet's ``SingleStageDetector``.
    """
