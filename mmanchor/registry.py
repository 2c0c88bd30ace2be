"""The registries that mmanchor fills.

Configs write ``type='mmanchor.AnchorFormer'``: MMEngine imports this module
when it meets the prefix, whatever the default scope, so no ``custom_imports``
is needed. Without a supported stack importing it is one clear ``ImportError``.
"""

from importlib.util import find_spec

from .compat.stack import require_stack

require_stack()

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS  # noqa: E402
from mmengine.registry import DATASETS as MMENGINE_DATASETS  # noqa: E402
from mmengine.registry import HOOKS as MMENGINE_HOOKS  # noqa: E402
from mmengine.registry import MODELS as MMENGINE_MODELS  # noqa: E402
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS  # noqa: E402
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS  # noqa: E402
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS  # noqa: E402
from mmengine.registry import Registry  # noqa: E402

DATA_SAMPLERS = Registry(
    'data sampler', parent=MMENGINE_DATA_SAMPLERS, locations=['mmanchor.engine.samplers']
)
# Classes on toolboxes that are not there cannot be asked for.
_DATASETS = dict(mmdet='coco', mmpretrain='digits')
DATASETS = Registry(
    'dataset',
    parent=MMENGINE_DATASETS,
    locations=[
        f'mmanchor.datasets.{name}'
        for toolbox, name in _DATASETS.items()
        if find_spec(toolbox) is not None
    ],
)
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, locations=['mmanchor.engine.hooks'])
MODELS = Registry('model', parent=MMENGINE_MODELS, locations=['mmanchor.models'])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    locations=['mmanchor.engine.optimizers'],
)
TASK_UTILS = Registry(
    'task util', parent=MMENGINE_TASK_UTILS, locations=['mmanchor.models.task_modules']
)
TRANSFORMS = Registry(
    'transform', parent=MMENGINE_TRANSFORMS, locations=['mmanchor.datasets.transforms']
)
