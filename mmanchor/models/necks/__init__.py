"""Necks; each takes a tuple of maps and returns one."""

from .csp_pan import CSPPAN
from .simple_feature_pyramid import SimpleFeaturePyramid

__all__ = ['CSPPAN', 'SimpleFeaturePyramid']
