"""Necks; each maps a tuple of feature maps to another one."""

from .csp_pan import CSPPAN
from .simple_feature_pyramid import SimpleFeaturePyramid

__all__ = ['CSPPAN', 'SimpleFeaturePyramid']
