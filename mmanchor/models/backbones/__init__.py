"""Backbones; each returns a tuple of features."""

from .anchor_esnet import AnchorESNet
from .anchor_levit import AnchorLeViT
from .anchorformer import AnchorFormer
from .esnet import ESNet
from .masked import MAEAnchorFormer, SimMIMAnchorFormer
from .sparsifiner import Sparsifiner

__all__ = [
    'AnchorESNet',
    'AnchorFormer',
    'AnchorLeViT',
    'ESNet',
    'MAEAnchorFormer',
    'SimMIMAnchorFormer',
    'Sparsifiner',
]
