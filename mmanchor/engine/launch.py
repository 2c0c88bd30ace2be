"""Several processes on machines without an accelerator.

MMEngine's launchers call ``torch.cuda`` first, so on a CPU the process group
is made here, by gloo, and MMEngine finds it ready.
"""

import os
import subprocess
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed
from torch import distributed

from ..utils.errors import UserError

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')

# Where each launcher tells rank, number of processes and rank on the node.
_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}


def prepare_launch(cfg: Config) -> None:
    """Make ``cfg.launcher`` work where there is no accelerator.

    Starts the gloo process group, keeps DistributedDataParallel off devices
    and, as SyncBatchNorm needs a GPU, puts plain batch norm in its place.

    Args:
        cfg: A config with ``launcher``; changed in place.

    Raises:
        UserError: If the processes were not started by the launcher.
    """
    if cfg.launcher == 'none':
        return
    if cfg.launcher not in LAUNCHERS:
        raise UserError(f'--launcher must be one of {", ".join(LAUNCHERS)}, got {cfg.launcher!r}')
    names = _VARIABLES[cfg.launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise UserError(
            f'--launcher {cfg.launcher} needs {", ".join(missing)} in the '
            'environment; start the processes by tools/dist_train.sh, '
            'tools/dist_test.sh, srun or mpirun'
        )
    if get_device() != 'cpu':
        return
    if not is_distributed():
        rank, size, local_rank = (os.environ[name] for name in names)
        os.environ.update(RANK=rank, WORLD_SIZE=size, LOCAL_RANK=local_rank)
        os.environ.setdefault('MASTER_PORT', '29500')
        if 'MASTER_ADDR' not in os.environ:
            os.environ['MASTER_ADDR'] = _first_host(cfg.launcher)
        distributed.init_process_group('gloo')
    wrapper = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    wrapper.update(cfg.get('model_wrapper_cfg') or {})
    wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper
    _unsync_norm(cfg.model)
    # Or MMEngine would turn the plain ones into synchronised ones again.
    cfg.pop('sync_bn', None)


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


def _unsync_norm(node: Any) -> None:
    """Turn every ``type='SyncBN'`` below ``node`` into ``'BN'``."""
    if isinstance(node, dict):
        if node.get('type') == 'SyncBN':
            node['type'] = 'BN'
        for value in node.values():
            _unsync_norm(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _unsync_norm(value)
