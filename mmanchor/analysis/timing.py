"""Times of several calls, taken in turn so that noise affects all of them."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

Call = Callable[[], object]
# Draws of the bootstrap. More would change the interval less than another run.
_DRAWS = 2000
# With fewer, all lie on one side of the true median in over 5 % of cases, so
# that no 95 % interval exists.
MIN_ROUNDS = 6


@dataclass
class Timing:
    """Summary of the rounds of one call.

    Args:
        median: Median of its times, in seconds.
        p90: 90th percentile, in seconds.
        speedup: How many times faster than the first call it is: the median
            of the ratios of the two times in each round.
        low, high: 95 % interval of ``speedup``, by bootstrap of the rounds;
            with fewer than :data:`MIN_ROUNDS`, the smallest and the largest.
    """

    median: float
    p90: float
    speedup: float
    low: float
    high: float


def interval_of(rounds: int) -> str:
    """Name what ``low`` and ``high`` of a :class:`Timing` are.

    Args:
        rounds: Number of rounds.

    Example:
        >>> interval_of(MIN_ROUNDS - 1)
        'smallest to largest'
    """
    return '95 % interval' if rounds >= MIN_ROUNDS else 'smallest to largest'


def interleave(
    calls: Mapping[str, Call],
    rounds: int = 20,
    warmup: int = 2,
    device: str = 'cpu',
    min_seconds: float = 0.01,
) -> dict[str, list[float]]:
    """Time calls in turn, each once a round.

    If the machine slows down for a while, it slows down all of them, and the
    ratios within a round hardly change.

    Args:
        calls: Functions by name.
        rounds: Number of timed rounds.
        warmup: Rounds before them, at least 1. They also find out how often
            a short call is repeated.
        device: 'cpu', or a CUDA device, which is timed by its events.
        min_seconds: Calls shorter than this are repeated within a round
            until they take about this many seconds.

    Returns:
        Seconds per call, by name, a number for each round.

    Raises:
        ValueError: If ``rounds`` or ``warmup`` is below 1.

    Example:
        >>> times = interleave({'a': lambda: 1, 'b': lambda: 2}, rounds=3)
        >>> {name: len(each) for name, each in times.items()}
        {'a': 3, 'b': 3}
    """
    for name, value in (('rounds', rounds), ('warmup', warmup)):
        if value < 1:
            raise ValueError(f'{name} must be at least 1, got {value}')
    clock = _cuda_seconds if device.startswith('cuda') else _cpu_seconds
    once: dict[str, float] = {}
    for _ in range(warmup):
        once = {name: clock(call, 1) for name, call in calls.items()}
    repeats = {
        name: max(1, math.ceil(min_seconds / max(seconds, 1e-7))) for name, seconds in once.items()
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(clock(call, repeats[name]))
    return times


def _cpu_seconds(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def _cuda_seconds(call: Call, repeats: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / repeats


def summarize(times: Mapping[str, Sequence[float]]) -> dict[str, Timing]:
    """Summarize times, and compare each call with the first.

    Args:
        times: From :func:`interleave`.

    Returns:
        A :class:`Timing` by name. The same times give the same intervals.

    Example:
        >>> timing = summarize({'a': [4.0, 4.0, 8.0], 'b': [2.0, 2.0, 4.0]})['b']
        >>> timing.median, timing.speedup, timing.low
        (2.0, 2.0, 2.0)
    """
    first = torch.tensor(next(iter(times.values())), dtype=torch.float64)
    draws = torch.randint(
        len(first), (_DRAWS, len(first)), generator=torch.Generator().manual_seed(0)
    )
    summary = {}
    for name, each in times.items():
        own = torch.tensor(each, dtype=torch.float64)
        ratios = first / own
        # Not `median`, which takes the lower of the two middle values.
        medians = ratios[draws].quantile(0.5, dim=1)
        low, high = medians.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        if len(first) < MIN_ROUNDS:
            low, high = ratios.min().item(), ratios.max().item()
        summary[name] = Timing(
            median=own.quantile(0.5).item(),
            p90=own.quantile(0.9).item(),
            speedup=ratios.quantile(0.5).item(),
            low=low,
            high=high,
        )
    return summary
