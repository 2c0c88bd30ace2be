"""The toolboxes' own inference functions know our configs, and take turns.

=====================  =====================================================
what                   symptom without the patch
=====================  =====================================================
names of our configs   ``DetInferencer('mmanchor::picodet/...py')``: Cannot
                       find model in mmdet; ``init_detector`` and
                       ``init_model``: FileNotFoundError; ``get_model``:
                       Failed to find model. Only paths work, which an
                       installed package does not have at hand.
``list_models``        does not list our configs; without a scope it fails
scope                  after ``MMSegInferencer`` an
                       ``ImageClassificationInferencer`` ends in
                       ``KeyError: 'ResizeEdge is not in the
                       mmseg::transform registry'``: MMEngine's default scope
                       is the one that was set last (mmengine 0.10,
                       mmpretrain 1.2)
=====================  =====================================================
"""

import fnmatch
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from ...utils.config_files import PREFIX, config_root
from ...utils.errors import UserError
from ..after_import import after_import


def our_config(model: Any) -> Any:
    """The path of one of our configs, if that is what is named.

    Args:
        model: What a user gave as a model or config.

    Returns:
        A path for ``'mmanchor::...'`` or a name of ours; everything else as
        it is.

    Raises:
        UserError: If there is no config after ``mmanchor::``.

    Example:
        >>> our_config('rtmdet-s')
        'rtmdet-s'
        >>> Path(our_config('upernet_anchorformer_ade')).name
        'upernet_anchorformer_ade.py'
    """
    if not isinstance(model, str) or os.path.exists(model):
        return model
    is_ours = model.startswith(PREFIX)
    if '::' in model and not is_ours:
        return model
    from ...utils.config import find_config

    try:
        return str(find_config(model))
    except UserError:
        if is_ours:
            raise
        return model


def our_names(scope: str) -> list[str]:
    """Names of our configs for a toolbox, sorted.

    Args:
        scope: Such as ``'mmdet'``.
    """
    paths = [path for path in config_root().rglob('*.py') if '_base_' not in path.parts]
    return sorted(path.stem for path in paths if _scope_of(path) == scope)


@cache
def _scope_of(path: Path) -> str | None:
    """``default_scope`` of a config, read off without building the config."""
    text = path.read_text(encoding='utf-8')
    own = re.search(r"^default_scope = '(\w+)'", text, re.MULTILINE)
    if own:
        return own[1]
    for base in re.findall(r"'([^']+\.py)'", text):
        folder = config_root() if base.startswith(PREFIX) else path.parent
        inherited = folder / base.removeprefix(PREFIX)
        if inherited.is_file():
            scope = _scope_of(inherited.resolve())
            if scope:
                return scope
    return None


def _takes_our_names(function: Callable) -> Callable:
    """Wrap a function whose first argument, ``model`` or ``config``, may be a name."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        kwargs = {
            key: our_config(value) if key in ('model', 'config') else value
            for key, value in kwargs.items()
        }
        return function(*map(our_config, args[:1]), *args[1:], **kwargs)

    return wrapper


def _init_takes_our_names(cls: Any) -> None:
    """The same for a constructor."""
    original = cls.__init__

    @wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        _takes_our_names(lambda *a, **k: original(self, *a, **k))(*args, **kwargs)

    cls.__init__ = init


def _in_scope(function: Callable, scope: str) -> Callable:
    """Wrap a function so that it runs in a toolbox's scope and leaves none behind."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from mmengine.registry import DefaultScope

        with DefaultScope.overwrite_default_scope(scope):
            return function(*args, **kwargs)

    return wrapper


def _replace(module: ModuleType, name: str, new: Callable) -> None:
    """Set a function of a module, and in the packages that have it already."""
    old = getattr(module, name)
    parts = module.__name__.split('.')
    for depth in range(1, len(parts) + 1):
        holder = sys.modules.get('.'.join(parts[:depth]))
        if holder is not None and getattr(holder, name, None) is old:
            setattr(holder, name, new)


def _patch_functions(init: str, inference: str, scope: str) -> Callable[[ModuleType], None]:
    """For ``mmdet.apis.inference`` and its like."""

    def patch(module: ModuleType) -> None:
        _replace(module, init, _takes_our_names(getattr(module, init)))
        # It builds the test pipeline each time.
        _replace(module, inference, _in_scope(getattr(module, inference), scope))

    return patch


def _patch_inferencer(name: str, scope: str) -> Callable[[ModuleType], None]:
    """For an inferencer that is MMEngine's, whose constructor sets its scope."""

    def patch(module: ModuleType) -> None:
        cls = getattr(module, name)
        _init_takes_our_names(cls)
        cls.__call__ = _in_scope(cls.__call__, scope)
        original, own_scope = cls.list_models, scope

        @wraps(original)
        def list_models(scope: str | None = None, patterns: str = r'.*') -> list[str]:
            scope = scope or own_scope
            ours = [each for each in our_names(scope) if re.match(patterns, each)]
            return [*original(scope, patterns), *ours]

        cls.list_models = staticmethod(list_models)

    return patch


def _patch_model_hub(module: ModuleType) -> None:
    """For ``mmpretrain.apis.model``."""
    _replace(module, 'get_model', _takes_our_names(module.get_model))
    original = module.list_models

    @wraps(original)
    def list_models(
        pattern: str | None = None,
        exclude_patterns: Sequence[str] | None = None,
        task: str | None = None,
    ) -> list[str]:
        names = original(pattern, exclude_patterns, task)
        if task not in (None, 'Image Classification'):
            return names
        ours = fnmatch.filter(our_names('mmpretrain'), f'{pattern or ""}*')
        for each in exclude_patterns or ():
            ours = [name for name in ours if not fnmatch.fnmatch(name, f'{each}*')]
        return sorted({*names, *ours})

    _replace(module, 'list_models', list_models)


def _patch_mmpretrain_inferencer(module: ModuleType) -> None:
    """For ``mmpretrain.apis.base``, whose inferencers build in whatever scope there is."""
    cls = module.BaseInferencer
    cls.__init__ = _in_scope(cls.__init__, 'mmpretrain')
    cls.__call__ = _in_scope(cls.__call__, 'mmpretrain')


PATCHES: dict[str, Callable[[ModuleType], None]] = {
    'mmdet.apis.inference': _patch_functions('init_detector', 'inference_detector', 'mmdet'),
    'mmdet.apis.det_inferencer': _patch_inferencer('DetInferencer', 'mmdet'),
    'mmseg.apis.inference': _patch_functions('init_model', 'inference_model', 'mmseg'),
    'mmseg.apis.mmseg_inferencer': _patch_inferencer('MMSegInferencer', 'mmseg'),
    'mmpretrain.apis.model': _patch_model_hub,
    'mmpretrain.apis.base': _patch_mmpretrain_inferencer,
}


def install() -> None:
    """Make the patches as the modules are imported; calling it again is harmless."""
    for module, patch in PATCHES.items():
        after_import(module, patch)
