"""Data sets and transforms; each is imported when it is first used.

``CocoDataset`` needs mmdet and ``Digits`` needs mmpretrain, and neither
should be missed by those who use the other.
"""

from ..utils.lazy import lazy_names

_MODULES = {
    'CocoDataset': '.coco',
    'Digits': '.digits',
    'RandomObjectCrop': '.transforms',
    'UnreadablePictureError': '.image_files',
}
__all__ = sorted(_MODULES)
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
