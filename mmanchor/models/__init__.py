"""Models registered in :data:`mmanchor.registry.MODELS`."""

from importlib.util import find_spec

from .. import registry  # raises a clear error if the OpenMMLab stack is not supported
from .backbones import (
    AnchorESNet,
    AnchorFormer,
    AnchorLeViT,
    ESNet,
    MAEAnchorFormer,
    SimMIMAnchorFormer,
    Sparsifiner,
)
from .data_preprocessors import RandomSquareSize
from .dense_heads import PicoDetHead
from .detectors import PicoDet
from .layers import (
    ConvBN,
    EnhancedShuffleBlock,
    EnhancedShuffleDownBlock,
    LearnedAnchorAttention,
    LevitAnchorAttention,
    LevitBlock,
    LevitSoftmaxAttention,
    LinearBN,
    SoftmaxAttention,
    SparsifinerAttention,
    SparsifinerBlock,
    TokenAnchorAttention,
    TransformerBlock,
    even_token_indices,
    resize_position_embedding,
)
from .necks import CSPPAN, SimpleFeaturePyramid
from .task_modules import VarifocalSimOTAAssigner
from .with_auxiliary_losses import WithAuxiliaryLosses

__all__ = [
    'CSPPAN',
    'AnchorESNet',
    'AnchorFormer',
    'AnchorLeViT',
    'ConvBN',
    'ESNet',
    'EnhancedShuffleBlock',
    'EnhancedShuffleDownBlock',
    'LearnedAnchorAttention',
    'LevitAnchorAttention',
    'LevitBlock',
    'LevitSoftmaxAttention',
    'LinearBN',
    'MAEAnchorFormer',
    'PicoDet',
    'PicoDetHead',
    'RandomSquareSize',
    'SimMIMAnchorFormer',
    'SimpleFeaturePyramid',
    'SoftmaxAttention',
    'Sparsifiner',
    'SparsifinerAttention',
    'SparsifinerBlock',
    'TokenAnchorAttention',
    'TransformerBlock',
    'VarifocalSimOTAAssigner',
    'WithAuxiliaryLosses',
    'even_token_indices',
    'resize_position_embedding',
]

if find_spec('mmpretrain') is not None:  # not needed for segmentors and detectors
    from .classifiers import DistilledClassifier
    from .heads import DistilledDeiTHead, DistilledLeViTHead

    __all__ += ['DistilledClassifier', 'DistilledDeiTHead', 'DistilledLeViTHead']
