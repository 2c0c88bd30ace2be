"""Backbones; each returns a tuple of features."""
from .anchorformer import AnchorFormer
from .esnet import ESNet

__all__ = ['AnchorFormer', 'ESNet']
