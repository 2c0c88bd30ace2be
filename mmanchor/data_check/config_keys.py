"""Keys of a config that nothing reads: mistyped ones and those of 2.x."""

import inspect
from collections.abc import Iterable

from mmengine.config import Config
from torch.utils.data import DataLoader

from ..utils.config_keys import SUCCESSORS, nearest, read_keys
from .report import SplitReport

_LOADER_SUCCESSORS = {'samples_per_gpu': 'batch_size', 'workers_per_gpu': 'num_workers'}
_DATA = 'train_dataloader, val_dataloader and test_dataloader'

# Variables that configs of the toolboxes use, and which look like those keys.
_VARIABLES = frozenset(
    [f'{split}_{name}' for split in ('train', 'val', 'test') for name in ('dataset', 'pipeline')]
    + ['models', 'model_cfg']
)
_LOADER_KEYS = frozenset(inspect.signature(DataLoader.__init__).parameters) - {'self'} | {
    'num_batch_per_epoch'
}
_SECTIONS = {
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'optim_wrapper': {
        'type',
        'optimizer',
        'paramwise_cfg',
        'constructor',
        'clip_grad',
        'accumulative_counts',
        'loss_scale',
        'dtype',
    },
    'randomness': {'seed', 'deterministic', 'diff_rank_seed'},
    'train_cfg': {
        'type',
        'by_epoch',
        'max_epochs',
        'max_iters',
        'val_begin',
        'val_interval',
        'dynamic_intervals',
    },
}


def add_key_problems(report: SplitReport, cfg: Config) -> None:
    """Record keys without effect.

    Args:
        report: Receives one problem for old and one for mistyped keys.
        cfg: A config.
    """
    report.add(
        'old_keys',
        'keys of mmdet 2.x, which nothing reads any more',
        [f'{key}: use {successor}' for key, successor in _old_keys(cfg)],
    )
    mistyped = [
        f'{key}: did you mean {near}?'
        for key in cfg
        if key not in read_keys() | _VARIABLES | SUCCESSORS.keys()
        and (near := nearest(key, read_keys()))
    ]
    for name, known in _SECTIONS.items():
        section = cfg.get(name)
        for key in section if isinstance(section, dict) else ():
            near = None if key in known else nearest(key, known)
            if near:
                mistyped.append(f'{name}.{key}: did you mean {name}.{near}?')
    report.add('unknown_keys', 'keys of the config that nothing reads', mistyped)
    report.add(
        'loader_keys',
        "keys that torch's DataLoader does not have",
        list(_unknown_loader_keys(cfg)),
        fatal=True,
    )


def _old_keys(cfg: Config) -> list[tuple[str, str]]:
    """Old keys in use, with their successors."""
    found = [pair for pair in SUCCESSORS.items() if cfg.get(pair[0]) is not None]
    data = cfg.get('data')
    # The name is also a common variable of configs.
    if isinstance(data, dict) and data.keys() & _LOADER_SUCCESSORS.keys():
        found.append(('data', _DATA))
    # Configs of mmseg 1.x keep it as a variable.
    if isinstance(cfg.get('optimizer'), dict) and found:
        found.append(('optimizer', 'optim_wrapper.optimizer'))
    return found


def _unknown_loader_keys(cfg: Config) -> Iterable[str]:
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        for key in loader if isinstance(loader, dict) else ():
            if key in _LOADER_KEYS:
                continue
            near = _LOADER_SUCCESSORS.get(key) or nearest(key, _LOADER_KEYS, 0.6)
            hint = f': did you mean {near}?' if near else ''
            yield f'{split}_dataloader.{key}{hint}'
