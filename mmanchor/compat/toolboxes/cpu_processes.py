"""Several processes on a machine without a GPU, by the toolboxes' own scripts.

=============================  ===============================================
what                           symptom without the patch
=============================  ===============================================
``_init_dist_pytorch``         ``dist_train.sh`` and ``dist_test.sh``, and
                               ``--launcher pytorch``: ``RuntimeError: Found no
                               NVIDIA driver on your system``, as each process
                               first chooses its GPU. Here they meet by gloo.
                               mmengine 0.10
``MMDistributedDataParallel``  ``ValueError: DistributedDataParallel device_ids
                               and output_device arguments only work with ...
                               GPU modules``
=============================  ===============================================
"""

from functools import wraps
from types import ModuleType
from typing import Any

from ..after_import import after_import

DIST = 'mmengine.dist.utils'
WRAPPER = 'mmengine.model.wrappers.distributed'


def _meet_by_gloo(module: ModuleType) -> None:
    original = module._init_dist_pytorch
    if hasattr(original, '__wrapped__'):
        return

    @wraps(original)
    def init_dist(backend: str, init_backend: str = 'torch', **kwargs: Any) -> None:
        from mmengine.device import get_device

        if init_backend != 'torch' or get_device() != 'cpu':
            return original(backend, init_backend, **kwargs)
        module.torch_dist.init_process_group(backend='gloo', **kwargs)

    module._init_dist_pytorch = init_dist


def _wrap_models_on_the_cpu(module: ModuleType) -> None:
    cls = module.MMDistributedDataParallel
    original = cls.__init__
    if hasattr(original, '__wrapped__'):
        return

    @wraps(original)
    def init(self: Any, module: Any, *args: Any, **kwargs: Any) -> None:
        if all(param.device.type == 'cpu' for param in module.parameters()):
            kwargs['device_ids'] = None
        original(self, module, *args, **kwargs)

    cls.__init__ = init


def install() -> None:
    """Make the patches as the modules are imported; calling it again is harmless."""
    after_import(DIST, _meet_by_gloo)
    after_import(WRAPPER, _wrap_models_on_the_cpu)
