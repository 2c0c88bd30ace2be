"""Values of a config that are of the wrong type, found before anything is built."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from mmengine.config import Config

from .config_keys import read_keys
from .errors import UserError


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list_of(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, (list, tuple))
        and all(isinstance(each, kinds) or _is_object(each) for each in value)
    )


def _is_at_least(lowest: int, kind: type | tuple[type, ...] = int) -> Callable[[Any], bool]:
    # Booleans are numbers to Python, and NaN is at least nothing.
    return lambda value: isinstance(value, kind) and value is not True and value >= lowest


def _is_whole(lowest: int) -> Callable[[Any], bool]:
    # Some configs of the toolboxes spell whole numbers as 1e4.
    return lambda value: _is_at_least(lowest, (int, float))(value) and value == value // 1


def _is_object(value: Any) -> bool:
    """Whether a config of Python made this: a class, a function, an instance."""
    return not isinstance(value, (dict, list, tuple, str, bytes, int, float, type(None)))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_is_dicts = _is_list_of(dict)
_is_texts = _is_list_of(str)

# By the words of a message, what a value may be. An object of Python always may.
_TESTS: dict[str, Callable[[Any], bool]] = {
    'a dict': _is_dict,
    'a dict with a type': lambda value: _is_dict(value) and bool(value.get('type')),
    'a list of dicts': _is_dicts,
    'a dict or a list of dicts': lambda value: _is_dict(value) or _is_dicts(value),
    'a list of transforms': _is_list_of(dict, list, tuple),
    'a list of names': lambda value: _is_text(value) or _is_texts(value),
    'text': _is_text,
    'text or a list of texts': lambda value: _is_text(value) or _is_texts(value) or _is_dict(value),
    'text or a dict of folders': lambda value: _is_text(value) or _is_dict(value),
    'a whole number above 0': _is_whole(1),
    'a whole number, 0 or above': _is_whole(0),
    'a whole number': _is_whole(-(2**63)),
    'a number, 0 or above': _is_at_least(0, (int, float)),
    'True or False': lambda value: value in (True, False),
}
_MAY_BE_NONE = ' or None'
# Patterns of dotted keys, and what they need: * is a part of a key, ** several keys.
_RULES: dict[str, str] = {
    'model tta_model visualizer log_processor randomness env_cfg': 'a dict or None',
    'auto_scale_lr model_wrapper_cfg optim_wrapper': 'a dict or None',
    'train_cfg val_cfg test_cfg default_hooks default_hooks.*': 'a dict or None',
    'env_cfg.mp_cfg env_cfg.dist_cfg model.data_preprocessor': 'a dict or None',
    'custom_hooks visualizer.vis_backends': 'a list of dicts or None',
    'default_scope work_dir experiment_name load_from': 'text or None',
    'resume find_unused_parameters': 'True or False or None',
    'randomness.seed': 'a whole number, 0 or above or None',
    'auto_scale_lr.base_batch_size': 'a whole number above 0',
    'default_hooks.*.save_begin': 'a whole number, 0 or above',
    'log_processor.window_size': 'a whole number above 0',
    'default_hooks.*.interval default_hooks.*.max_keep_ckpts': 'a whole number',
    '*_dataloader': 'a dict or None',
    '*_dataloader.dataset *_dataloader.**.dataset': 'a dict with a type',
    '*_dataloader.**.datasets': 'a list of dicts',
    '*_dataloader.sampler *_dataloader.batch_sampler': 'a dict or None',
    '*_dataloader.**.filter_cfg *_dataloader.**.metainfo': 'a dict or None',
    '*_dataloader.batch_size *_dataloader.**.times': 'a whole number above 0',
    '*_dataloader.num_workers': 'a whole number, 0 or above',
    '*_dataloader.persistent_workers *_dataloader.pin_memory': 'True or False',
    '*_dataloader.**.pipeline test_pipeline tta_pipeline': 'a list of transforms',
    '*_dataloader.**.data_root *_evaluator.**ann_file': 'text or None',
    '*_dataloader.**.ann_file': 'text or a list of texts or None',
    '*_dataloader.**.data_prefix': 'text or a dict of folders or None',
    '*_dataloader.**.metainfo.classes': 'a list of names or None',
    '*_evaluator param_scheduler': 'a dict or a list of dicts or None',
    'optim_wrapper.optimizer': 'a dict with a type',
    'optim_wrapper.clip_grad optim_wrapper.paramwise_cfg': 'a dict or None',
    'optim_wrapper.accumulative_counts train_cfg.val_interval': 'a whole number above 0',
    'optim_wrapper.clip_grad.max_norm': 'a number, 0 or above',
    'param_scheduler.*.begin param_scheduler.*.end': 'a number, 0 or above or None',
    'optim_wrapper.optimizer.lr optim_wrapper.optimizer.weight_decay': 'a number, 0 or above',
    'train_cfg.max_epochs train_cfg.max_iters': 'a whole number, 0 or above',
    'model.**backbone model.**neck model.**head': 'a dict or a list of dicts or None',
    'model.**init_cfg': 'a dict or a list of dicts or None',
    'model.**norm_cfg model.**act_cfg model.**conv_cfg': 'a dict or None',
}
_SPELLINGS = ((r'\*\*', '.*'), (r'\*', '[^.]*'), (r'\ ', '|'))


def _regex(patterns: str) -> re.Pattern:
    text = re.escape(patterns)
    for old, new in _SPELLINGS:
        text = text.replace(old, new)
    return re.compile(text)


_PATTERNS = [(_regex(patterns), wanted) for patterns, wanted in _RULES.items()]


def require_types(cfg: Config) -> None:
    """Refuse values that nothing can be built from, such as ``pipeline=5``.

    Args:
        cfg: A config. Variables that nothing reads may be anything.

    Raises:
        UserError: Naming the key, the value, and what would be right.
    """
    sections = read_keys() | {'test_pipeline'}
    for key, value in _values({key: cfg[key] for key in cfg if key in sections}):
        for pattern, wanted in _PATTERNS:
            if pattern.fullmatch(key) and not _fits(value, wanted):
                given = f'{repr(value)[:200]}{_hint(value)}'
                raise UserError(f'{key} of {cfg.filename} must be {wanted}, got {given}')


def _fits(value: Any, wanted: str) -> bool:
    if value is None and wanted.endswith(_MAY_BE_NONE):
        return True
    return _is_object(value) or _TESTS[wanted.removesuffix(_MAY_BE_NONE)](value)


def _hint(value: Any) -> str:
    words = [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
    if any('dict(' in word or '{' in word for word in words):
        return '; --cfg-options cannot spell dicts inside of lists: write them in the config'
    return ''


def _values(node: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of dicts at every depth, parents first."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield f'{path}{key}', value
            yield from _values(value, f'{path}{key}.')
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _values(value, f'{path}{index}.')
