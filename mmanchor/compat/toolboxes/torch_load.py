"""``torch.load`` of a training checkpoint, as the toolboxes' scripts call it.

=====================  =====================================================
what                   symptom without the patch
=====================  =====================================================
``torch.load(FILE)``   the toolboxes' ``publish_model.py``, and anybody's
                       script: ``UnpicklingError: Weights only load failed.
                       ... Unsupported global: GLOBAL mmengine.logging.
                       history_buffer.HistoryBuffer`` (torch 2.6 on)
=====================  =====================================================

Only that error is answered, by the reader of :mod:`..checkpoints`, which runs
nothing of the file either. Whoever passes ``weights_only`` gets what they ask
for.
"""

import os
import pickle
from functools import wraps
from types import ModuleType
from typing import Any

from ..after_import import after_import
from ..checkpoints import load_checkpoint


def _read_training_checkpoints(module: ModuleType) -> None:
    original = module.load
    if hasattr(original, '__wrapped__'):
        return

    @wraps(original)
    def load(f: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(f, map_location, *args, **kwargs)
        except pickle.UnpicklingError as error:
            if args or kwargs or not isinstance(f, (str, os.PathLike)):
                raise
            if 'GLOBAL mmengine.' not in str(error):
                raise
        return load_checkpoint(f, map_location)

    module.load = load


def install() -> None:
    """Patch torch once it is imported; calling it again is harmless."""
    after_import('torch', _read_training_checkpoints)
