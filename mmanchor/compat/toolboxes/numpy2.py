"""Functions of mmcv and of the toolboxes that numpy 2 breaks.

=============================  ================================================
what                           symptom without the patch
=============================  ================================================
``mmcv.adjust_hue``            with a negative factor (half of the draws of
                               mmpretrain's ``ColorJitter(hue=...)``, as
                               SimCLR, MoCo and BYOL have it):
                               ``OverflowError: Python integer -25 out of
                               bounds for uint8``. numpy 2, mmcv 2.1; mended in
                               https://github.com/VBTI-development/onedl-mmcv/pull/41
``RetrievalRecall``,           ``AttributeError: module 'numpy' has no
``RetrievalAveragePrecision``  attribute 'in1d'``. numpy 2.4, mmpretrain 1.2;
                               https://github.com/numpy/numpy/pull/29978
mmdet's scores of videos       ``AttributeError: module 'numpy' has no
(``YTVISeval``)                attribute 'float'``. numpy 1.24, mmdet 3.3
=============================  ================================================
"""

from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..after_import import after_import

if TYPE_CHECKING:
    import numpy as np

# The package, and those that take the function from it when they are imported.
HOLDERS_OF_ADJUST_HUE = ('mmcv.image.photometric', 'mmcv.image', 'mmcv')
# Names that numpy dropped, what they stood for, and the modules that use them.
OLD_NAMES: dict[str, dict[str, str]] = {
    'mmpretrain.evaluation.metrics.retrieval': dict(in1d='isin'),
    'mmdet.evaluation.functional.ytviseval': dict(float='float64'),
}


class _WrappingFactor(float):
    """A share of the color circle whose steps of 1/255 wrap round as uint8 did."""

    def __mul__(self, steps: float) -> int:
        return int(float(self) * steps) % 256


def _wrap_hue(module: ModuleType) -> None:
    original = getattr(module, 'adjust_hue', None)
    if original is None or hasattr(original, '__wrapped__'):
        return

    @wraps(original)
    def adjust_hue(img: 'np.ndarray', hue_factor: float, *args: Any, **kwargs: Any) -> 'np.ndarray':
        return original(img, _WrappingFactor(hue_factor), *args, **kwargs)

    module.adjust_hue = adjust_hue


def _give_old_names(module: ModuleType) -> None:
    numpy, names = module.np, OLD_NAMES[module.__name__]
    gone = {name: getattr(numpy, new) for name, new in names.items() if not hasattr(numpy, name)}
    if not gone:
        return

    class OldNumpy(ModuleType):
        """numpy with the names that it dropped, for this module alone."""

        def __getattr__(self, name: str) -> Any:
            return gone[name] if name in gone else getattr(numpy, name)

    module.np = OldNumpy(numpy.__name__)


def install() -> None:
    """Make the patches as the modules are imported; calling it again is harmless."""
    for name in HOLDERS_OF_ADJUST_HUE:
        after_import(name, _wrap_hue)
    for name in OLD_NAMES:
        after_import(name, _give_old_names)
