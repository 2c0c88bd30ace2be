"""Anchor attention for OpenMMLab.

Importing the package makes the installed OpenMMLab stack usable on today's
torch (:mod:`mmanchor.compat`) and does nothing else. The public classes and
functions are imported when they are first used; configs name them as
``type='mmanchor.AnchorFormer'``.
"""

from . import compat
from .utils.lazy import lazy_names

__version__ = '0.1.0'

compat.install()

_MODELS = (
    'AnchorESNet',
    'AnchorFormer',
    'AnchorLeViT',
    'CSPPAN',
    'DistilledClassifier',
    'DistilledDeiTHead',
    'DistilledLeViTHead',
    'ESNet',
    'LearnedAnchorAttention',
    'PicoDet',
    'PicoDetHead',
    'RandomSquareSize',
    'SimpleFeaturePyramid',
    'SoftmaxAttention',
    'Sparsifiner',
    'TokenAnchorAttention',
    'VarifocalSimOTAAssigner',
    'WithAuxiliaryLosses',
)
_HOOKS = (
    'AuxiliaryLossHook',
    'ExactResumeHook',
    'ProgressHook',
    'RestartedEMAHook',
    'SaveDrawingsHook',
    'SkippedImagesHook',
    'StopOnNanHook',
)
_MODULES = {
    **dict.fromkeys(_MODELS, '.models'),
    **dict.fromkeys(_HOOKS, '.engine.hooks'),
    **dict.fromkeys(('CocoDataset', 'Digits', 'RandomObjectCrop'), '.datasets'),
    **dict.fromkeys(('anchor_attention', 'anchor_cross_attention'), '.ops'),
    'anchorize': '.anchorization',
    'explain': '.explanation',
    'load': '.inference',
}
__all__ = sorted([*_MODULES, '__version__'])
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
