"""Peak memory of a call, as torch's allocator tells it."""
import warnings
from typing import Callable

import torch
from torch.profiler import ProfilerActivity, profile


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
    with warnings.catch_warnings():
        # It warns that it forgets what came before this call.
        warnings.simplefilter('ignore')
        with profile(
                activities=[ProfilerActivity.CPU],
                profile_memory=True) as profiler:
            returned = call()
    del returned
    # The public list keeps only the operators, each with its balance; the
    # single allocations are among the raw events.
    events = profiler.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events
               if event.name() == '[memory]']
    held = peak = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        held += change
        peak = max(peak, held)
    return peak
