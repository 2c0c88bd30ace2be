"""Images of what a model looks at: anchor maps, and Grad-CAM and its relatives.

The package is not named ``explain``, so that ``mmanchor.explain`` is always the
function.
"""

from ..utils.lazy import lazy_names

_MODULES = {
    'AnchorExplanation': '.anchors',
    'AnchorLayer': '.anchors',
    'AnchorMix': '.mixing',
    'CamExplanation': '.cams',
    'compare_models': '.comparing',
    'explain': '.explaining',
}
__all__ = sorted(_MODULES)
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
