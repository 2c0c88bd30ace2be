"""Put learned anchors into a trained softmax network: readers, fitting, data.

The package is not called ``anchorize`` so that :func:`mmanchor.anchorize`
always is the function.
"""

from ..utils.lazy import lazy_names

_MODULES = {
    'anchorize': '.fitting',
    'find_softmax': '.fitting',
    'fit_anchors': '.fitting',
    'kmeans': '.anchors',
    'queries_as_anchors': '.anchors',
}
__all__ = sorted(_MODULES)
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
