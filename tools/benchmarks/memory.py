"""Peak memory of a process, and the memory of a machine."""

import os
import sys
from pathlib import Path

import torch

from mmanchor.utils.errors import UserError

# The memory limit of a container, in control groups of version 2 and 1.
_LIMITS = (Path('/sys/fs/cgroup/memory.max'), Path('/sys/fs/cgroup/memory/memory.limit_in_bytes'))


def process_peak() -> int:
    """Peak memory of this process in bytes, interpreter and libraries included.

    Raises:
        UserError: If the system does not report it, as on Windows.
    """
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
        (peak,) = [line.split()[1] for line in lines if line[:6] == 'VmHWM:']
        return int(peak) * 1024
    except (OSError, ValueError):
        pass
    try:
        import resource
    except ImportError as error:
        raise UserError(
            f'{sys.platform} does not report the peak memory of a process; use Linux or macOS'
        ) from error
    # A fallback: it may include the peak of the process that started this one.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024


def machine_memory(device: str = 'cpu') -> int:
    """Memory of a device in bytes, or what a container may use of it.

    Args:
        device: 'cpu' or a CUDA device.

    Raises:
        UserError: If the system does not report it.
    """
    if device.startswith('cuda'):
        return torch.cuda.get_device_properties(device).total_memory
    try:
        most = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    # Windows has no such function, and other systems not every name.
    except (AttributeError, ValueError, OSError) as error:
        raise UserError(
            'this system does not report how much memory it has; give --max-memory'
        ) from error
    for file in _LIMITS:
        try:
            limit = file.read_text().strip()
        except OSError:
            continue
        if limit.isdecimal():  # and not 'max'
            most = min(most, int(limit))
    return most
