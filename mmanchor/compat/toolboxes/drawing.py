"""What mmseg's visualizer needs to draw any image.

=========================  ====================================================
what                       symptom without the patch
=========================  ====================================================
``SegLocalVisualizer``     mmseg's ``browse_dataset.py``: ``cv2.error: Layout of
                           the output array img is incompatible with cv::Mat``.
                           The tool hands over an image whose channels come
                           first in memory, and class names are written on an
                           array of that layout. mmseg 1.2
=========================  ====================================================
"""

from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..after_import import after_import

if TYPE_CHECKING:
    import numpy as np

VISUALIZER = 'mmseg.visualization.local_visualizer'


def _draw_any_layout(module: ModuleType) -> None:
    cls = module.SegLocalVisualizer
    original = cls._draw_sem_seg
    if hasattr(original, '__wrapped__'):
        return

    @wraps(original)
    def draw(self: Any, image: 'np.ndarray', *args: Any, **kwargs: Any) -> 'np.ndarray':
        return original(self, module.np.ascontiguousarray(image), *args, **kwargs)

    cls._draw_sem_seg = draw


def install() -> None:
    """Patch the module once it is imported; calling it again is harmless."""
    after_import(VISUALIZER, _draw_any_layout)
