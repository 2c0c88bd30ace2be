"""Dense heads of detectors."""

from .picodet_head import PicoDetHead

__all__ = ['PicoDetHead']
