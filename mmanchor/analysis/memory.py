"""Peak memory of a call and of a process, and how much there is."""

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from ..utils.errors import UserError

# What a container may use, where the system's groups of version 2 and of
# version 1 have it.
_LIMITS = (Path('/sys/fs/cgroup/memory.max'), Path('/sys/fs/cgroup/memory/memory.limit_in_bytes'))


def peak_memory(call: Callable[[], object], device: str = 'cpu') -> int:
    """Most memory that a call held at once.

    On a CPU it is the sum of the allocations and releases that torch's
    profiler notes: the same in every run, and blind to what libraries take
    for themselves (oneDNN's scratch pads) and to memory that the process
    keeps after a release. On a GPU it is the caching allocator's own peak.

    Args:
        call: What to run, once.
        device: 'cpu' or a CUDA device.

    Returns:
        Bytes beyond what was held before. What the call returns counts.

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
    # Where there is no GPU its library says so, as an error.
    os.environ.setdefault('KINETO_LOG_LEVEL', '99')
    with warnings.catch_warnings():
        # It warns that it forgets what came before this call.
        warnings.simplefilter('ignore')
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            returned = call()
    del returned
    # The public list keeps only the operators, each with its balance; the
    # single allocations are among the raw events.
    events = profiler.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == '[memory]']
    held = peak = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        held += change
        peak = max(peak, held)
    return peak


def process_peak() -> int:
    """Most memory that this process has had, in bytes.

    What the system counts: interpreter, libraries and all.

    Raises:
        UserError: If the system does not tell, as Windows.
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
            f'the peak memory of a process is not to be had from {sys.platform}; use Linux or macOS'
        ) from error
    # It may be the peak of the process that started this one.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024


def machine_memory(device: str = 'cpu') -> int:
    """Bytes of memory that a device has, or that a container may use of it.

    Args:
        device: 'cpu' or a CUDA device.

    Raises:
        UserError: If the system does not tell.
    """
    if device.startswith('cuda'):
        return torch.cuda.get_device_properties(device).total_memory
    try:
        most = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    # Windows has no such function, and other systems not every name.
    except (AttributeError, ValueError, OSError) as error:
        raise UserError(
            'this system does not tell how much memory it has; give --max-memory'
        ) from error
    for file in _LIMITS:
        try:
            limit = file.read_text().strip()
        except OSError:
            continue
        if limit.isdecimal():  # and not 'max'
            most = min(most, int(limit))
    return most
