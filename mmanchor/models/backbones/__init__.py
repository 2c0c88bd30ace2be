"""Backbones; each returns a tuple of features."""
from .anchorformer import AnchorFormer

__all__ = ['AnchorFormer']
