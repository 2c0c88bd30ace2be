"""Top-level keys of a config: those with an effect, and what is left of old ones."""

import difflib
import inspect
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from mmengine.config import Config

from .errors import UserError

# Keys of mmcv's runner and mmdet 2.x, and what took their place.
SUCCESSORS = {
    'checkpoint_config': 'default_hooks.checkpoint',
    'cudnn_benchmark': 'env_cfg.cudnn_benchmark',
    'dist_params': 'env_cfg.dist_cfg',
    'evaluation': 'val_evaluator and train_cfg.val_interval',
    'fp16': '--amp (optim_wrapper.type=AmpOptimWrapper)',
    'log_config': 'default_hooks.logger (its interval) and visualizer.vis_backends',
    'lr_config': 'param_scheduler',
    'momentum_config': 'param_scheduler',
    'optimizer_config': 'optim_wrapper (such as optim_wrapper.clip_grad)',
    'resume_from': '--resume FILE',
    'runner': 'train_cfg',
    'total_epochs': 'train_cfg.max_epochs',
    'total_iters': 'train_cfg.max_iters',
    'workflow': 'train_cfg and val_cfg',
}
# Read from the config itself, not passed to the runner's constructor.
_READ_LATER = frozenset(
    {
        'activation_checkpointing',
        'auto_scale_lr',
        'compile',
        'custom_imports',
        'efficient_conv_bn_eval',
        'find_unused_parameters',
        'model_wrapper_cfg',
        'num_train',  # of scenes, read by the demos
        'num_val',
        'runner_type',
        'strategy',
        'sync_bn',
        'tta_model',
        'tta_pipeline',
    }
)
_MOST_PLACES = 3


@cache
def read_keys() -> frozenset[str]:
    """Top-level keys that have an effect on a run."""
    from mmengine.runner import Runner

    return frozenset(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'} | _READ_LATER


def nearest(key: Any, known: Iterable[str], cutoff: float = 0.85) -> str | None:
    """The name that a mistyped one resembles most, if one does.

    Example:
        >>> nearest('trian_cfg', ['train_cfg', 'test_cfg'])
        'train_cfg'
    """
    close = difflib.get_close_matches(str(key), list(known), 1, cutoff)
    return close[0] if close else None


def require_effect(cfg: Config, options: Mapping[str, Any]) -> None:
    """Refuse options for the command line that would change nothing.

    A config is a program: its variables were copied to where they are used
    when it was read, so that changing a variable afterwards does nothing.

    Args:
        cfg: The config, before the options are laid over it.
        options: Dotted keys, such as ``'train_cfg.max_epochs'``, and values.

    Raises:
        UserError: If the first part of a key is none that a run reads, and the
            config has no such variable, or a list or dict that stands elsewhere
            too. The message names the key or the places to set in its stead.
            Other variables may be read by a user's own code and are warned of.
    """
    for option in options:
        first, _, rest = option.partition('.')
        if first in read_keys() or (first == 'test_pipeline' and _has_no_test_data(cfg, options)):
            continue
        if first not in cfg:
            raise UserError(f'--cfg-options {option}: nothing reads {first!r}{_hint(first, rest)}')
        value = _value(cfg, option)
        # Numbers and words are equal by chance.
        places = list(_places(cfg, value)) if isinstance(value, (dict, list, tuple)) else []
        if places:
            more = f' and {len(places) - _MOST_PLACES} more' if len(places) > _MOST_PLACES else ''
            raise UserError(
                f'--cfg-options {option} would change nothing: {first} is a variable, which the '
                f'config copied when it was read. Set {", ".join(places[:_MOST_PLACES])}{more}'
            )
        warnings.warn(
            f'--cfg-options {option}: {first} is a variable, which the config may have copied '
            'when it was read; changing it has no effect unless code of yours reads it',
            stacklevel=4,
        )


def _has_no_test_data(cfg: Config, options: Mapping[str, Any]) -> bool:
    """Whether predicting takes ``test_pipeline``, as there is no test data set."""
    return not options.get('test_dataloader', cfg.get('test_dataloader'))


def _hint(first: str, rest: str) -> str:
    if first in SUCCESSORS:
        return f', a key of mmdet 2.x; use {SUCCESSORS[first]}'
    near = nearest(first, read_keys(), 0.75)
    if near is None:
        return ', and the config does not have it'
    return f'; did you mean {near}{"." if rest else ""}{rest}?'


def _value(cfg: Config, option: str) -> Any:
    """What a dotted key stands for now; ``None`` if nothing."""
    node: Any = cfg
    for part in option.split('.'):
        try:
            node = node[int(part)] if isinstance(node, (list, tuple)) else node[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return node


def _places(cfg: Config, value: Any) -> Iterator[str]:
    """Dotted keys below those that are read that hold the same value."""
    for key in cfg:
        if key in read_keys():
            yield from _same(cfg[key], value, key)


def _same(node: Any, value: Any, path: str) -> Iterator[str]:
    if type(node) is type(value) and node == value:
        yield path
        return
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _same(child, value, f'{path}.{key}')
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _same(child, value, f'{path}.{index}')
