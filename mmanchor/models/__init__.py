"""Models registered in :data:`mmanchor.registry.MODELS`."""

from importlib.util import find_spec

from .backbones import *
from .data_preprocessors import *
from .dense_heads import *
from .detectors import *
from .layers import *
from .necks import *
from .task_modules import *

if find_spec('mmpretrain') is not None:  # segmentors and detectors need none
    from .classifiers import *
    from .cls_heads import *
