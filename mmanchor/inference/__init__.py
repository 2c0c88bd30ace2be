"""Load a trained model, predict with it, keep the results."""

from ..utils.lazy import lazy_names

_MODULES = {
    'Model': '.model',
    'PredictOptions': '.files',
    'PredictSummary': '.files',
    'Result': '.results',
    'load': '.loading',
    'predict': '.loading',
    'predict_files': '.files',
}
__all__ = sorted(_MODULES)
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
