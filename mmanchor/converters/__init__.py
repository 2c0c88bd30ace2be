"""Convert foreign state dicts to ours: pure functions that access no files."""

from ..anchorization.anchors import kmeans, queries_as_anchors
from ..compat.torch_files import TRAINING_STATE, arrays_of_torch
from .anchor_deit import convert_anchor_deit
from .deit import convert_deit
from .entries import Entries
from .kind import Kind
from .levit import convert_levit
from .paddle_files import arrays_of_paddle
from .paddledet import convert_esnet, convert_picodet
from .renaming import Renaming, convert_state_dict
from .report import ConversionReport, first_few
from .sparsifiner import convert_sparsifiner

KINDS = {
    'paddledet-esnet': Kind(convert_esnet, 'paddle', "PaddleDetection's ESNet"),
    'paddledet-picodet': Kind(convert_picodet, 'paddle', "PaddleDetection's PicoDet"),
    'deit': Kind(
        convert_deit,
        'torch',
        "timm's or DeiT's own DeiT or ViT, plain or distilled",
        calibrates=True,
    ),
    'anchor-deit': Kind(convert_anchor_deit, 'torch', 'the released AnchorDeiT'),
    'levit': Kind(
        convert_levit,
        'torch',
        "timm's, the authors' or mmpretrain's LeViT, plain or distilled",
        calibrates=True,
    ),
    'sparsifiner': Kind(convert_sparsifiner, 'torch', 'the released Sparsifiner'),
}

__all__ = [
    'KINDS',
    'TRAINING_STATE',
    'ConversionReport',
    'Entries',
    'Kind',
    'Renaming',
    'arrays_of_paddle',
    'arrays_of_torch',
    'convert_anchor_deit',
    'convert_deit',
    'convert_esnet',
    'convert_levit',
    'convert_picodet',
    'convert_sparsifiner',
    'convert_state_dict',
    'first_few',
    'kmeans',
    'queries_as_anchors',
]
