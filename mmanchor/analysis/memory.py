"""Peak memory of a call."""

import os
import warnings
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


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
