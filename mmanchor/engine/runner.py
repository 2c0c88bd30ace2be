"""From a config to a runner, in as many processes as were launched."""

import errno
import itertools
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.logging import print_log
from mmengine.registry import OPTIMIZERS, RUNNERS, DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import distributed, nn

from ..utils.config import building
from ..utils.errors import UserError
from ..utils.files import make_folder
from ..utils.launchers import VARIABLES
from .checkpoints import latest_checkpoint
from .console import ShortRunner

SAMPLER = 'mmanchor.SeededSampler'
HOOK = 'mmanchor.ExactResumeHook'
LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
# Seconds that processes wait for each other, unless env_cfg.dist_cfg.timeout
# gives another number.
TIMEOUT = 600
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES)
# Bytes for a config and the first lines of a log.
LEAST_FREE = 2**16
# Numbers of the runs of this process, from 1.
_RUNS = itertools.count(1)
STRATEGIES = ('SingleDeviceStrategy', 'DDPStrategy')


def build_runner(cfg: Config, verbose: bool = False) -> Runner:
    """Build the runner of a config, in as many processes as were launched.

    Args:
        cfg: A config with ``work_dir`` and ``launcher``.
        verbose: Print config, environment, hooks and the settings of every
            parameter too, which are otherwise in the log file only.

    Returns:
        The runner, its model built.

    Raises:
        UserError: If the work folder cannot be written to, the launcher did
            not start this process, or the config cannot be built.
    """
    folder = make_folder(cfg.work_dir, '--work-dir')
    if shutil.disk_usage(folder).free < LEAST_FREE:
        raise UserError(f'the disk of --work-dir {cfg.work_dir} is full: make room there')
    require_supported(cfg)
    prepare_launch(cfg)
    _keep_apart(cfg)
    with building(cfg):
        if 'runner_type' in cfg:
            return RUNNERS.build(cfg)
        return (Runner if verbose else ShortRunner).from_cfg(cfg)


def _keep_apart(cfg: Config) -> None:
    """Give a second run in this process a log, a message hub and a visualizer of its own.

    MMEngine keeps all three by name for the whole process. The name of a run
    ends in the second of its start, so that two quick ones would share what
    they note, and the later one would remove checkpoints of the earlier one.
    Visualizers are shared by the name in the config; MMEngine's inferencers
    rename theirs in the same way.
    """
    number = next(_RUNS)
    if number > 1:
        name = cfg.get('experiment_name') or Path(cfg.filename or 'run').stem
        cfg.experiment_name = f'{name}-{number}'
    visualizer = cfg.get('visualizer')
    name = visualizer.get('name') if isinstance(visualizer, dict) else None
    if name and Visualizer.check_instance_created(name):
        visualizer.name = f'{name}-{number}'


def require_supported(cfg: Config) -> None:
    """Refuse ways of training that cannot work here.

    Args:
        cfg: A config; ``strategy``, ``optim_wrapper`` and ``log_level`` are
            looked at.

    Raises:
        UserError: If the strategy is not supported, or needs a GPU and there
            is none, or MMEngine does not know the optimizer or log level.
    """
    _require_known_names(cfg)
    strategy = cfg.get('strategy')
    name = strategy.get('type') if isinstance(strategy, dict) else strategy
    flexible = cfg.get('runner_type') == 'FlexibleRunner'
    if name is not None and name not in STRATEGIES:
        raise UserError(
            f'strategy={name!r} is not supported: exact resuming and checked checkpoints work '
            f'with {" and ".join(STRATEGIES)} only. For several GPUs leave strategy and '
            'runner_type out and start tools/dist_train.sh'
        )
    if get_device() != 'cpu':
        return
    if flexible and name != 'SingleDeviceStrategy':
        raise UserError(
            "runner_type='FlexibleRunner' needs a GPU, and none was found; on a CPU set "
            "strategy=dict(type='SingleDeviceStrategy'), or leave runner_type out"
        )
    wrapper = cfg.get('optim_wrapper') or {}
    if isinstance(wrapper, dict) and wrapper.get('type') == 'AmpOptimWrapper':
        raise UserError(
            "optim_wrapper.type='AmpOptimWrapper' needs a GPU, and none was found; use "
            "'OptimWrapper' to train on the CPU"
        )


def require_room(runner: Runner) -> None:
    """Refuse to train where not even one checkpoint fits on the disk.

    Args:
        runner: Its model and work folder are looked at.

    Raises:
        UserError: If the weights alone need more than is free.
    """
    if not isinstance(runner.model, nn.Module):
        return  # FlexibleRunner builds it later
    weights = sum(each.nbytes for each in runner.model.state_dict().values())
    free = shutil.disk_usage(runner.work_dir).free
    if free < weights:
        raise UserError(
            f'the disk of --work-dir {runner.work_dir} has {free / 2**20:.1f} MiB left, and the '
            f'weights of a checkpoint alone take {weights / 2**20:.1f} MiB: make room there, or '
            'give another folder'
        )


@contextmanager
def running(runner: Runner) -> Iterator[None]:
    """Let a disk that is full, or a process that is gone, end as one message.

    Args:
        runner: What runs inside.

    Raises:
        UserError: With the newest whole checkpoint.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        newest = latest_checkpoint(runner.work_dir)
        reason = str(error) if isinstance(error, UserError) else f'{error}'
        raise UserError(
            f'{reason}. The newest whole checkpoint is {newest or "none"}; with room in '
            f'{runner.work_dir} the run goes on by --resume'
        ) from error
    except RuntimeError as error:
        if not re.search(r'[Tt]imed? ?out|Connection (closed|reset) by peer', str(error)):
            raise
        raise UserError(
            'another process of this run stopped answering, or ended; see its own message '
            '(env_cfg.dist_cfg.timeout sets how many seconds to wait): '
            f'{str(error).splitlines()[0]}'
        ) from error


def _require_known_names(cfg: Config) -> None:
    # MMEngine's errors for these two do not name what is wrong.
    level = cfg.get('log_level', 'INFO')
    if not isinstance(level, int) and not isinstance(logging.getLevelName(level), int):
        raise UserError(f"log_level must be a level such as 'INFO' or 'ERROR', got {level!r}")
    wrapper = cfg.get('optim_wrapper')
    optimizer = wrapper.get('optimizer') if isinstance(wrapper, dict) else None
    name = optimizer.get('type') if isinstance(optimizer, dict) else None
    if isinstance(name, str):
        with DefaultScope.overwrite_default_scope(str(cfg.get('default_scope', 'mmengine'))):
            if OPTIMIZERS.get(name) is None:
                raise UserError(f'optim_wrapper.optimizer.type={name!r} is no registered optimizer')


def make_repeatable(cfg: Config) -> None:
    """Let a resumed run equal one that was never stopped, bit for bit.

    The configs of mmanchor have :class:`~mmanchor.engine.hooks.ExactResumeHook`
    among their hooks; it is added to a config without it, such as one that an
    earlier version wrote. With the hook goes
    :class:`~mmanchor.engine.samplers.SeededSampler`, which is put around the
    sampler of the training data. ``enable=False`` of the hook leaves both out.

    Args:
        cfg: A config that trains; changed in place.
    """
    hooks = cfg.get('custom_hooks') or []
    default_hooks = cfg.get('default_hooks') or {}
    own = [each for each in (*hooks, *default_hooks.values()) if each and each.get('type') == HOOK]
    if not own:
        cfg.custom_hooks = [*hooks, ConfigDict(type=HOOK)]
    elif not own[0].get('enable', True):
        return
    sampler = cfg.train_dataloader.get('sampler')
    if isinstance(sampler, dict) and sampler.get('type') != SAMPLER:
        cfg.train_dataloader.sampler = ConfigDict(type=SAMPLER, sampler=sampler)


def prepare_launch(cfg: Config) -> None:
    """Make ``cfg.launcher`` work, also where there is no GPU.

    MMEngine's launchers call ``torch.cuda`` first. On a CPU the process group
    is made here, by gloo, and MMEngine finds it ready; models are wrapped by
    :mod:`~mmanchor.compat.toolboxes.cpu_processes`; SyncBatchNorm, which needs
    a GPU, becomes plain batch norm.

    Args:
        cfg: A config with ``launcher``; changed in place.

    Raises:
        UserError: If the processes were not started by the launcher.
    """
    if cfg.launcher == 'none':
        return
    names = _variables_of(cfg.launcher)
    timeout = _set_timeout(cfg)
    if get_device() != 'cpu':
        return
    if not is_distributed():
        rank, size, local_rank = (os.environ[name] for name in names)
        os.environ.update(RANK=rank, WORLD_SIZE=size, LOCAL_RANK=local_rank)
        os.environ.setdefault('MASTER_PORT', '29500')
        if 'MASTER_ADDR' not in os.environ:
            os.environ['MASTER_ADDR'] = _first_host(cfg.launcher)
        distributed.init_process_group('gloo', timeout=timedelta(seconds=timeout))
    # Or MMEngine would turn the plain ones into synchronized ones again.
    if _unsync_norm(cfg.model) + bool(cfg.pop('sync_bn', None)):
        print_log(
            'SyncBN needs a GPU: on this CPU each process normalizes by the statistics of its own '
            'batch, so that several processes differ slightly from one',
            'current',
        )


def _variables_of(launcher: str) -> tuple[str, str, str]:
    if launcher not in LAUNCHERS:
        raise UserError(f'--launcher must be one of {", ".join(LAUNCHERS)}, got {launcher!r}')
    names = VARIABLES[launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise UserError(
            f'--launcher {launcher} needs {", ".join(missing)} in the '
            'environment; start the processes by tools/dist_train.sh, '
            'tools/dist_test.sh, srun or mpirun'
        )
    return names


def _set_timeout(cfg: Config) -> float:
    """Bound the time that processes wait for one that stopped."""
    env = cfg.setdefault('env_cfg', ConfigDict(dist_cfg=dict(backend='nccl')))
    dist = env.setdefault('dist_cfg', ConfigDict(backend='nccl'))
    timeout = dist.setdefault('timeout', TIMEOUT)
    if not isinstance(timeout, (int, float)) or timeout <= 0:
        raise UserError(f'env_cfg.dist_cfg.timeout must be seconds above 0, got {timeout!r}')
    return timeout


def _first_host(launcher: str) -> str:
    """The host of rank 0: slurm's first node, else this machine."""
    if launcher != 'slurm':
        return '127.0.0.1'
    hosts = subprocess.run(
        ['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']],
        check=True,
        capture_output=True,
        text=True,
    )
    return hosts.stdout.split()[0]


def _unsync_norm(node: Any) -> int:
    """Turn every ``type='SyncBN'`` below ``node`` into ``'BN'``; how many."""
    count = 0
    if isinstance(node, dict):
        if node.get('type') == 'SyncBN':
            node['type'], count = 'BN', 1
        return count + sum(map(_unsync_norm, node.values()))
    if isinstance(node, (list, tuple)):
        return sum(map(_unsync_norm, node))
    return count
