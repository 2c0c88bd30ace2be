"""Check of a recipe against its data: batch, schedule, metrics, keys."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config

from ..utils.launchers import rank_and_size
from .config_keys import add_key_problems
from .report import SplitReport
from .sources import SPLITS

# Heads that normalize a map pooled to 1 x 1, one value per channel and image.
_POOLING_HEADS = ('ASPPHead', 'PSPHead', 'UPerHead')
_WARM_UPS = ('ConstantLR', 'LinearLR')
# A warm-up that takes a larger part of the training than this is reported.
_LONGEST_WARM_UP = 0.5


def check_recipe(cfg: Config, reports: Sequence[SplitReport] = ()) -> SplitReport:
    """Check what a config says about training and scoring.

    Args:
        cfg: A config.
        reports: Those of its data sets, which hold the number of images.

    Returns:
        A report whose ``dataset`` is ``'recipe'``.
    """
    report = SplitReport([], 'recipe')
    add_key_problems(report, cfg)
    _add_fault(report, 'slide', slide_fault(cfg))
    for split in ('val', 'test'):
        _add_fault(report, 'top_k', topk_fault(cfg, split))
    for split in SPLITS:
        # Not fatal: a run does not build the loaders of all splits.
        if fault := _workers_fault(cfg, split):
            report.add('workers', fault)
    loader = cfg.get('train_dataloader')
    if not isinstance(loader, dict) or not isinstance(loader.get('batch_size'), int):
        return report
    images = sum(each.counts.get('images', 0) for each in reports if 'train' in each.splits)
    images *= _repeats(loader.get('dataset'))
    batch = loader['batch_size'] * _world_size(cfg)
    _check_learning_rate(report, cfg, loader['batch_size'])
    _check_batch_norm(report, cfg, loader['batch_size'])
    if images and batch > 0:
        _check_batch(report, cfg, images, batch)
        _check_warm_up(report, cfg, images, batch)
    return report


def _workers_fault(cfg: Config, split: str) -> str | None:
    """Workers that are to stay and are none, which torch refuses."""
    loader = _section(cfg, f'{split}_dataloader')
    if loader.get('persistent_workers') and loader.get('num_workers', 0) == 0:
        return (
            f'{split}_dataloader has num_workers=0, so persistent_workers=True must become '
            'persistent_workers=False'
        )
    return None


def _world_size(cfg: Config) -> int:
    """Number of processes that were launched."""
    return rank_and_size(cfg.get('launcher', 'none'))[1]


def _repeats(dataset: Any) -> int:
    """How often wrappers repeat the data in an epoch."""
    times = 1
    while isinstance(dataset, dict):
        if str(dataset.get('type')).endswith('RepeatDataset') and 'times' in dataset:
            times *= dataset['times']
        dataset = dataset.get('dataset')
    return times


def _check_learning_rate(report: SplitReport, cfg: Config, batch_size: int) -> None:
    """Compare the batch with the one that the learning rate is for."""
    scaling, wrapper = cfg.get('auto_scale_lr') or {}, _section(cfg, 'optim_wrapper')
    base = scaling.get('base_batch_size')
    accumulated = wrapper.get('accumulative_counts', 1)
    accumulated = accumulated if isinstance(accumulated, int) else 1
    processes = _world_size(cfg)
    batch = batch_size * processes * accumulated
    if not isinstance(base, int) or base < 1 or batch < 1:
        return
    parts = f'{batch_size} images x {processes} processes x {accumulated} accumulated iterations'
    if scaling.get('enable'):
        if accumulated > 1:
            report.notes.append(
                f'auto_scale_lr scales the learning rate for {batch // accumulated} images, but '
                f'a step uses {batch} ({parts}); multiply it by {accumulated} more'
            )
    elif batch != base:
        lr = _section(wrapper, 'optimizer').get('lr')
        value = f', to {lr * batch / base:.4g}' if isinstance(lr, (int, float)) else ''
        report.notes.append(
            f'the learning rate {lr} is for a batch of {base} images, but a step uses {batch} '
            f'({parts}); --auto-scale-lr multiplies it by {batch / base:.4g}{value}'
        )


def _check_batch(report: SplitReport, cfg: Config, images: int, batch: int) -> None:
    """Fewer images than a batch needs."""
    if images >= batch:
        return
    loader, by_epoch = cfg.train_dataloader, _total_epochs(cfg) is not None
    drops = loader.get('drop_last') or _section(loader, 'batch_sampler').get('drop_last')
    cure = f'set train_dataloader.batch_size to at most {images}, or repeat the data'
    message = f'the training data has {images} images, fewer than a batch of {batch}; {cure}'
    if drops and by_epoch:
        message += '; with drop_last=True an epoch has no iteration at all'
    report.add('small_data', message, fatal=bool(drops and by_epoch))


def _check_warm_up(report: SplitReport, cfg: Config, images: int, batch: int) -> None:
    """A warm-up that takes most of the training, or never ends."""
    epochs, iterations = _total_epochs(cfg), _section(cfg, 'train_cfg').get('max_iters')
    per_epoch = max(1, math.ceil(images / batch))
    if epochs is not None:
        iterations = epochs * per_epoch
    if not isinstance(iterations, int):
        return
    for scheduler in _dicts(cfg.get('param_scheduler')):
        name, end = str(scheduler.get('type')), scheduler.get('end')
        if not name.endswith(_WARM_UPS) or not isinstance(end, int):
            continue
        if scheduler.get('by_epoch', True):
            length, total, unit = end, epochs, 'epochs'
        else:
            length, total, unit = end, iterations, 'iterations'
        if scheduler.get('begin', 0) == 0 and total and length > _LONGEST_WARM_UP * total:
            report.add(
                'warm_up',
                f'the warm-up ({name}) takes {length} {unit}, and the training {total} '
                f'({images} images, batch {batch}: {per_epoch} iterations an epoch); shorten '
                'param_scheduler.end or train longer',
            )


def _total_epochs(cfg: Config) -> int | None:
    epochs = _section(cfg, 'train_cfg').get('max_epochs')
    return epochs if isinstance(epochs, int) else None


def _section(node: Any, key: str) -> dict[str, Any]:
    """A dict of a config; empty if there is none of this name."""
    value = node.get(key)
    return value if isinstance(value, dict) else {}


def _dicts(node: Any) -> Iterator[dict[str, Any]]:
    for each in node if isinstance(node, (list, tuple)) else [node]:
        if isinstance(each, dict):
            yield each


def _check_batch_norm(report: SplitReport, cfg: Config, batch_size: int) -> None:
    """One image a process, whose statistics batch norm would use."""
    if batch_size != 1 or _world_size(cfg) > 1:
        return
    nodes = list(_nodes(cfg.get('model')))
    if not any(str(each.get('type')) in ('BN', 'BN1d', 'BN2d', 'SyncBN') for each in nodes):
        return
    heads = sorted(
        {str(each['type']) for each in nodes if str(each.get('type')).endswith(_POOLING_HEADS)}
    )
    if heads:
        report.add(
            'batch_of_one',
            f'train_dataloader.batch_size is 1, but {heads[0]} pools a map to 1 x 1, and batch '
            'norm needs more than one value per channel; use a batch of 2 or more',
            fatal=True,
        )
    else:
        report.notes.append(
            'train_dataloader.batch_size is 1, so batch norm uses the statistics of single '
            "images; use a larger batch, or norm_cfg=dict(type='GN', num_groups=32)"
        )


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """All dicts in a config."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    for each in node if isinstance(node, (list, tuple)) else ():
        yield from _nodes(each)


def _add_fault(report: SplitReport, code: str, fault: str | None) -> None:
    if fault:
        report.add(code, fault, fatal=True)


def topk_fault(cfg: Config, split: str) -> str | None:
    """Say why an accuracy asks for more classes than a classifier has.

    Args:
        cfg: A config.
        split: ``'val'`` or ``'test'``.

    Returns:
        The reason and the cure; ``None`` if it does not.
    """
    number = _section(_section(cfg, 'model'), 'head').get('num_classes')
    if cfg.get('default_scope') != 'mmpretrain' or not isinstance(number, int):
        return None
    for each in _dicts(cfg.get(f'{split}_evaluator')):
        topk = each.get('topk', 1) if str(each.get('type')).endswith('Accuracy') else 1
        topk = tuple(topk) if isinstance(topk, (list, tuple)) else (topk,)
        if max((k for k in topk if isinstance(k, int)), default=0) > number:
            fitting = ','.join(str(k) for k in topk if k <= number) or '1'
            return (
                f'{split}_evaluator.topk={topk} asks for more classes than model.head.num_classes, '
                f'which is {number}; give --cfg-options {split}_evaluator.topk={fitting}'
            )
    return None


def slide_fault(cfg: Config) -> str | None:
    """Say why a segmentor of mmseg cannot slide its window.

    Args:
        cfg: A config.

    Returns:
        The reason and the cure; ``None`` if it can, or does not slide.
    """
    test_cfg = _section(_section(cfg, 'model'), 'test_cfg')
    if cfg.get('default_scope') != 'mmseg' or not test_cfg:
        return None
    mode = test_cfg.get('mode', 'whole')
    if mode not in ('slide', 'whole'):
        return f"model.test_cfg.mode must be 'slide' or 'whole', got {mode!r}"
    if mode == 'whole':
        return None
    for name in ('crop_size', 'stride'):
        value = test_cfg.get(name)
        if not _is_size(value):
            return (
                f"model.test_cfg.mode='slide' needs model.test_cfg.{name}, two whole numbers of "
                f'pixels (height, width), such as (512, 512); got {value!r}'
            )
    if any(s > c for s, c in zip(test_cfg['stride'], test_cfg['crop_size'], strict=True)):
        return (
            f'model.test_cfg.stride {tuple(test_cfg["stride"])} is larger than crop_size '
            f'{tuple(test_cfg["crop_size"])}, so windows would leave gaps'
        )
    return None


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(isinstance(each, int) and each > 0 for each in value)
    )
