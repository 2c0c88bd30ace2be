"""Replace softmax attention in trained networks by learned anchors.

The package is not named ``anchorize``, so that ``mmanchor.anchorize`` is always
the function.
"""

from ..utils.lazy import lazy_names

_MODULES = {
    'Recipe': '.stages',
    'anchorize': '.anchorizing',
    'attention_errors': '.alignment',
    'find_softmax': '.fitting',
    'fit_anchors': '.fitting',
    'kmeans': '.anchors',
    'queries_as_anchors': '.anchors',
}
__all__ = sorted(_MODULES)
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
