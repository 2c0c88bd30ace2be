"""The first lines of a training: what is trained, on what, and where it goes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

# What steps of pipelines call the size that they set.
_SIZES = ('crop_size', 'scale', 'size', 'scales', 'sizes')


def log_opening(runner: Runner, cfg: Config) -> None:
    """Say in a few lines what a runner will train.

    Args:
        runner: Its training loop is built.
        cfg: Its config.
    """
    for line in opening(runner, cfg):
        runner.logger.info(line)


def opening(runner: Runner, cfg: Config) -> list[str]:
    """Lines about model, data, sizes and folders.

    Args:
        runner: Its training loop is built.
        cfg: Its config.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    names = [type(model).__name__]
    if hasattr(model, 'backbone'):
        names.append(type(model.backbone).__name__)
    params = [each for each in model.parameters() if each.requires_grad]
    count = sum(each.numel() for each in params) / 1e6
    processes = get_world_size()
    times = f' x {processes} processes' if processes > 1 else ''
    loop, loader = runner.train_loop, runner.train_dataloader
    batch = getattr(loader, 'batch_size', None) or cfg.train_dataloader.get('batch_size')
    length = cfg.train_cfg.get('max_epochs')
    amount = (
        f'{length} epochs of {len(loader)} iterations' if length else f'{loop.max_iters} iterations'
    )
    lines = [
        f'model: {" with ".join(names)}, {count:.2f} M parameters, on {get_device()}{times}',
        f'training: {_data(loader.dataset)}, batch {batch}, {_size(cfg, "train")}; {amount}',
    ]
    if cfg.get('val_cfg') is not None:
        lines.append(
            f'validation: {_data(runner.val_loop.dataloader.dataset)}, {_size(cfg, "val")}'
        )
    if cfg.get('load_from'):
        word = 'resumed from' if cfg.get('resume') else 'weights from'
        lines.append(f'{word} {cfg.load_from}')
    log = Path(runner.log_dir, f'{runner.timestamp}.log')
    return [*lines, f'work folder: {runner.work_dir}; config and all messages: {log}']


def _data(dataset: Any) -> str:
    """Number of images, and of classes if they are named."""
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    named = f' of {len(classes)} classes' if classes else ''
    return f'{len(dataset)} images{named}'


def _size(cfg: Config, split: str) -> str:
    """The size that batches get, or that the pipeline's last step with one says."""
    preprocessor = cfg.model.get('data_preprocessor') or {}
    steps = list(_pipeline(cfg[f'{split}_dataloader'].get('dataset')))
    if split == 'train':
        steps += preprocessor.get('batch_augments') or ()
    for step in reversed(steps):
        for key in _SIZES:
            size = step.get(key) if isinstance(step, dict) else None
            if isinstance(size, int):
                return f'size {size} x {size}'
            if not isinstance(size, (list, tuple)) or not size:
                continue
            if key in ('scales', 'sizes'):
                return f'sizes {size[0]} to {size[-1]}'
            if all(isinstance(each, int) for each in size):
                return f'size {" x ".join(map(str, size))}'
    return 'images as large as they are'


def _pipeline(dataset: Any) -> Sequence[Any]:
    """The pipeline of a data set, or of the first one in a wrapper."""
    while isinstance(dataset, dict) and 'pipeline' not in dataset:
        dataset = dataset.get('dataset') or next(iter(dataset.get('datasets') or ()), None)
    return dataset['pipeline'] if isinstance(dataset, dict) else ()
