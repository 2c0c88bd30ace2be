"""Offline demo scenes in the layouts of ADE20K and COCO."""

from .classes import DEMO_CLASSES, DEMO_PALETTE, DEMO_THING_CLASSES, STUFF_CLASSES
from .demo_data import DemoData, make_demo_data
from .scenes import SceneStyle

__all__ = [
    'DEMO_CLASSES',
    'DEMO_PALETTE',
    'DEMO_THING_CLASSES',
    'STUFF_CLASSES',
    'DemoData',
    'SceneStyle',
    'make_demo_data',
]
