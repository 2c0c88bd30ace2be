"""Data sets and transforms; each is imported when it is first used.

``CocoDataset`` needs mmdet and ``Digits`` needs mmpretrain; whoever uses one
does not need the toolbox of the other.
"""

from ..utils.lazy import lazy_names

_MODULES = {
    'CocoDataset': '.coco',
    'Digits': '.digits',
    'RandomObjectCrop': '.transforms',
    'UnreadableImageError': '..utils.images',
}
__all__ = sorted(_MODULES)
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
