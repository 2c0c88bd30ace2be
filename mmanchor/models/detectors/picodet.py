"""PicoDet, a one-stage detector for small budgets."""

from mmdet.models.detectors import SingleStageDetector

from ...registry import MODELS


@MODELS.register_module()
class PicoDet(SingleStageDetector):
    """PicoDet (arXiv 2111.00902): a light backbone, CSP-PAN, a shared tower.

    All of it is in the parts: :class:`~mmanchor.models.ESNet` or
    :class:`~mmanchor.models.AnchorESNet`, :class:`~mmanchor.models.CSPPAN`
    and :class:`~mmanchor.models.PicoDetHead`. The arguments, and what
    ``forward`` takes and gives, are those of mmdet's
    ``SingleStageDetector``.
    """
