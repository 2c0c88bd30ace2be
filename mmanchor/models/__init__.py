"""Models registered in :data:`mmanchor.registry.MODELS`."""
from importlib.util import find_spec

from .backbones import *  # noqa: F401,F403
from .data_preprocessors import *  # noqa: F401,F403
from .dense_heads import *  # noqa: F401,F403
from .detectors import *  # noqa: F401,F403
from .layers import *  # noqa: F401,F403
from .necks import *  # noqa: F401,F403
from .task_modules import *  # noqa: F401,F403

if find_spec('mmpretrain') is not None:  # segmentors and detectors need none
    from .classifiers import *  # noqa: F401,F403
    from .cls_heads import *  # noqa: F401,F403
