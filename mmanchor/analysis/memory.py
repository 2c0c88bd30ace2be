"""Peak memory of a call and of a process, and the memory of a machine."""

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from ..utils.errors import UserError

# The memory limit of a container, in control groups of version 2 and 1.
_LIMITS = (Path('/sys/fs/cgroup/memory.max'), Path('/sys/fs/cgroup/memory/memory.limit_in_bytes'))


def peak_memory(call: Callable[[], object], device: str = 'cpu') -> int:
    """Most memory that a call holds at once.

    On a CPU it is the peak of the allocations that torch's profiler records.
    It is the same in every run, but leaves out what libraries allocate
    themselves (oneDNN's scratch pads) and memory that the process keeps after
    a release. On a GPU it is the peak of torch's caching allocator.

    Args:
        call: Called once.
        device: 'cpu' or a CUDA device.

    Returns:
        Bytes beyond those held before, including what the call returns.

    Example:
        >>> held = torch.zeros(1000)
        >>> peak_memory(held.double)
        8000
    """
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    # Without a GPU the profiler's library logs an error.
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')
    with warnings.catch_warnings():
        # It warns that it discards earlier profiles.
        warnings.simplefilter('ignore')
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            returned = call()
    del returned
    # The public list has one balance per operator; single allocations are
    # among the raw events only.
    events = profiler.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == '[memory]']
    held = peak = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        held += change
        peak = max(peak, held)
    return peak


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
