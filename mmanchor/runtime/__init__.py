"""Run an exported model with NumPy, OpenCV and ONNX Runtime alone.

Nothing here imports torch or an OpenMMLab package, and nothing in a file is
ever run as code: metadata is JSON. The module is also the reference for those
who write the same in C++ or for a phone: :mod:`.images` is what comes before
the graph, :mod:`.results` what comes after it.
"""

from ..utils.lazy import lazy_names

_MODULES = {
    'Boxes': '.results',
    'Labels': '.results',
    'Mask': '.results',
    'Model': '.model',
    'suppress': '.results',
}
__all__ = sorted(_MODULES)
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
