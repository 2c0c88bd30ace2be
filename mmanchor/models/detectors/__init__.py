"""Detectors."""

from .picodet import PicoDet

__all__ = ['PicoDet']
