"""Send every checkpoint that MMEngine loads or saves through our functions.

MMEngine loads pickles with whatever torch's default is, MMEngine's fork falls
back to unpickling anything, and both run the text of a config that a
checkpoint carries as Python. The guards replace names inside MMEngine's own
modules; ``torch.load`` stays as it is for everybody else.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..utils.files import replacing
from .after_import import after_import
from .checkpoints import Source, asked_for, load_checkpoint, load_url, resuming
from .errors import UnsafeCheckpointError
from .trust import is_trusted

CHECKPOINT_MODULE = 'mmengine.runner.checkpoint'


class _TorchOfMMEngine(ModuleType):
    """torch as ``mmengine.runner.checkpoint`` sees it: ``load`` is ours."""

    def __init__(self, torch: ModuleType) -> None:
        super().__init__(torch.__name__)
        self._torch = torch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)

    @staticmethod
    def load(source: Source, map_location: Any = None, **kwargs: Any) -> Any:
        """:func:`load_checkpoint`; other options of torch.load are moot."""
        return load_checkpoint(source, map_location)


def _guard_loading(module: ModuleType) -> None:
    """Make all registered loaders of MMEngine use ours."""
    module.torch = _TorchOfMMEngine(module.torch)
    module.load_url = load_url
    # The onedl fork's loaders call this, which ends by unpickling anything.
    if hasattr(module, '_safe_torch_load'):
        module._safe_torch_load = module.torch.load
    loader = module.CheckpointLoader
    original = loader.load_checkpoint.__func__

    def load_named(cls: type, filename: str, *args: Any, **kwargs: Any) -> Any:
        with asked_for(str(filename)):
            return original(cls, filename, *args, **kwargs)

    load_named.__doc__ = original.__doc__
    loader.load_checkpoint = classmethod(load_named)
    module.save_checkpoint = _guarded_saving(module.save_checkpoint)


def _guarded_saving(original: Callable) -> Callable:

    def save_checkpoint(checkpoint: dict, filename: str, *args: Any, **kwargs: Any) -> None:
        if str(filename).endswith('.safetensors'):
            from .safetensors_files import save_safetensors

            return save_safetensors(checkpoint, filename)
        is_local = '://' not in str(filename)
        if not is_local or any(args) or any(kwargs.values()):
            return original(checkpoint, filename, *args, **kwargs)
        # A run killed while saving leaves no half file under this name.
        with replacing(filename) as temporary:
            original(checkpoint, str(temporary))

    save_checkpoint.__doc__ = original.__doc__
    return save_checkpoint


def _use_guarded_saving(module: ModuleType) -> None:
    # Modules imported before mmanchor hold the function by its own name.
    module.save_checkpoint = sys.modules[CHECKPOINT_MODULE].save_checkpoint


def _guard_resume(runner: type) -> None:
    original = runner.resume

    def resume(self: Any, *args: Any, **kwargs: Any) -> Any:
        with resuming():
            return original(self, *args, **kwargs)

    resume.__doc__ = original.__doc__
    runner.resume = resume


def _guard_inferencer(inferencer: type) -> None:
    original: Callable = inferencer._init_model

    def init_model(self: Any, cfg: Any, weights: str | None, device: str = 'cpu') -> Any:
        # Without a config MMEngine runs the one in the checkpoint as Python.
        if not cfg and not is_trusted(weights):
            raise UnsafeCheckpointError(
                weights,
                'to run the config inside it, because no config was '
                'given (pass one as the argument model)',
            )
        return original(self, cfg, weights, device)

    init_model.__doc__ = original.__doc__
    inferencer._init_model = init_model


def _guard_runner(module: ModuleType) -> None:
    _guard_resume(module.Runner)
    _use_guarded_saving(module)


def install() -> None:
    """Guard MMEngine's modules as they are imported."""
    after_import(CHECKPOINT_MODULE, _guard_loading)
    after_import('mmengine.runner.runner', _guard_runner)
    after_import(
        'mmengine.runner._flexible_runner', lambda module: _guard_resume(module.FlexibleRunner)
    )
    after_import('mmengine.runner', _use_guarded_saving)
    after_import('mmengine.infer.infer', lambda module: _guard_inferencer(module.BaseInferencer))
