"""Training by a config."""

from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner

from ..compat.trust import trust_checkpoint as trust_file
from ..data_check.preflight import check_before_training, log_warnings
from ..data_check.sources import require_data
from ..engine.checkpoints import latest_checkpoint, require_checkpoint
from ..engine.choose_checkpoint import choose_checkpoint
from ..engine.hooks import StartWeightsHook, WeightsGuard
from ..engine.runner import build_runner, make_repeatable, require_room, running
from ..engine.trackers import use_trackers
from ..utils.config import building
from ..utils.config_types import require_types
from ..utils.errors import UserError
from ..utils.files import PathLike, remove_leftovers
from .opening import log_opening


def train_model(
    cfg: Config,
    resume: PathLike | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    trust_checkpoint: bool = False,
    verbose: bool = False,
) -> Runner:
    """Train as a config says, from the start or from a checkpoint.

    A resumed run continues as if it had never been stopped
    (:class:`~mmanchor.engine.hooks.ExactResumeHook`).

    Args:
        cfg: What :func:`~mmanchor.utils.config.load_config` returned; changed
            in place.
        resume: A checkpoint to continue from, or ``'auto'`` for the newest in
            the work folder (the config's ``load_from`` or the start, if there
            is none); ``None`` leaves it to the config.
        amp: Train with automatic mixed precision.
        auto_scale_lr: Scale the learning rate by the batch size.
        trust_checkpoint: Read the checkpoint even if it may run code.
        verbose: Print what is otherwise in the log file only, such as the config.

    Returns:
        The runner, training done.

    Raises:
        UserError: If the data, a checkpoint or what an option needs is
            missing.
    """
    require_types(cfg)
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        if cfg.get(key) is None:
            raise UserError(f'the config {cfg.filename} has no {key}, so there is nothing to train')
    splits = ['train'] if cfg.get('val_cfg') is None else ['train', 'val']
    require_data(cfg, splits)
    if is_main_process():
        remove_leftovers(cfg.work_dir)
    _choose_start(cfg, resume)
    if cfg.get('load_from') and trust_checkpoint:
        trust_file(cfg.load_from)
    if amp:
        _use_amp(cfg)
    if auto_scale_lr:
        _use_auto_scale_lr(cfg)
    use_trackers(cfg)
    warnings = check_before_training(cfg)
    make_repeatable(cfg)
    try:
        runner = build_runner(cfg, verbose)
        if isinstance(runner, Runner):  # FlexibleRunner builds late
            with building(cfg):
                log_opening(runner, cfg)
    finally:
        # Below what is trained, or above the error that they may explain.
        log_warnings(cfg, warnings)
    if cfg.get('load_from'):
        hook = WeightsGuard if cfg.get('resume') else StartWeightsHook
        runner.register_hook(hook(cfg.load_from))
    require_room(runner)
    with building(cfg), running(runner):
        runner.train()
    return runner


def _choose_start(cfg: Config, resume: PathLike | None) -> None:
    """Set ``resume`` and ``load_from``, and check that the file exists."""
    start = cfg.get('load_from')
    if resume not in (None, 'auto'):
        cfg.resume = True
        cfg.load_from = choose_checkpoint(resume, '--resume', cfg.work_dir)
    elif resume == 'auto' or (cfg.get('resume') and not start):
        newest = latest_checkpoint(cfg.work_dir)
        damaged = [
            path.name
            for pattern in ('iter_*.pth', 'epoch_*.pth')
            for path in Path(cfg.work_dir).glob(pattern)
        ]
        if newest is None and damaged:
            raise UserError(
                f'--resume: every checkpoint in {cfg.work_dir} is damaged ({", ".join(damaged)}); '
                'remove them to train from the beginning'
            )
        cfg.resume = newest is not None
        cfg.load_from = newest or start
        print_log(
            f'resuming from {newest}'
            if newest
            else f'there is nothing to resume in {cfg.work_dir}: training starts at the beginning',
            logger='current',
        )
    if cfg.get('load_from') and cfg.load_from == start:
        cfg.load_from = require_checkpoint(start, 'load_from')


def _use_amp(cfg: Config) -> None:
    """Put the optimizer wrapper of mixed precision into the config."""
    wrapper = cfg.optim_wrapper
    name = wrapper.get('type', 'OptimWrapper')
    if name not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise UserError(
            f'--amp needs optim_wrapper.type to be OptimWrapper, but the config has {name!r}'
        )
    if get_device() == 'cpu':
        raise UserError('--amp needs a GPU, and none was found; leave it out to train on the CPU')
    wrapper.type = 'AmpOptimWrapper'
    wrapper.setdefault('loss_scale', 'dynamic')


def _use_auto_scale_lr(cfg: Config) -> None:
    """Switch the scaling of the learning rate on."""
    if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
        raise UserError(
            '--auto-scale-lr needs auto_scale_lr.base_batch_size, which the '
            f'config {cfg.filename} does not set: give the batch size that '
            'its learning rate is for, such as --cfg-options '
            'auto_scale_lr.base_batch_size=16'
        )
    cfg.auto_scale_lr.enable = True
