"""Let ``mmcv.ops`` import where mmcv has no compiled operators.

``mmcv.ops``, and with it ``mmdet.models``, needs the extension ``mmcv._ext``.
A finder at the end of ``sys.meta_path`` offers a Python file under that name,
with a spec and a loader as any module has, when nothing else provides it.
"""

import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

from .after_import import after_import

EXTENSION = 'mmcv._ext'
STAND_IN = Path(__file__).parent / 'mmcv_ext' / 'stand_in.py'


class FallbackFinder(MetaPathFinder):
    """Finds the stand-in for ``mmcv._ext``, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: object | None = None
    ) -> ModuleSpec | None:
        """The spec of the stand-in, unless a real extension can be found."""
        if fullname != EXTENSION:
            return None
        # A real extension wins, also from a finder added behind this one.
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec
        return spec_from_file_location(EXTENSION, STAND_IN)


def install() -> None:
    """Put the finder last in ``sys.meta_path``, once."""
    if not any(isinstance(item, FallbackFinder) for item in sys.meta_path):
        sys.meta_path.append(FallbackFinder())
    _complete_transformer()
    for name in ('mmengine.utils.dl_utils.misc', 'mmcv.utils.ext_loader'):
        after_import(name, _give_find_loader)


def _give_find_loader(module: ModuleType) -> None:
    # These ask pkgutil whether there are compiled operators, by a function
    # that Python 3.14 no longer has.
    if not hasattr(pkgutil, 'find_loader'):
        module.pkgutil = SimpleNamespace(find_loader=find_spec)


def _complete_transformer() -> None:
    # Imported before mmanchor, this module has gone without the class, with
    # a warning, and mmdet would fail to import it from there.
    module = sys.modules.get('mmcv.cnn.bricks.transformer')
    name = 'MultiScaleDeformableAttention'
    if module and not hasattr(module, name) and not has_compiled_ops():
        source = import_module('mmcv.ops.multi_scale_deform_attn')
        setattr(module, name, getattr(source, name))


def has_compiled_ops() -> bool:
    """Whether ``mmcv._ext`` is a real extension, not the stand-in."""
    spec = find_spec(EXTENSION)
    return spec is not None and spec.origin != str(STAND_IN)
