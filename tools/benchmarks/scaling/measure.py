"""Measures the cases of a part at one number of tokens."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from mmanchor.analysis.memory import peak_memory
from mmanchor.analysis.timing import interleave
from tools.benchmarks.scaling.cases import Case, Part, Prepared, Setting, prepare
from tools.benchmarks.scaling.plan import OTHER_CALLS, Cost, Limits, Plan, Skipped

# Calls are repeated for so long within a round: a single short one would run
# with caches that the slow call before it has emptied.
MIN_SECONDS = 0.1


@dataclass
class Trial:
    """A case that is measured at one size.

    Args:
        prepared: What is run.
        memory: Peak bytes of a call, inputs and parameters left out.
        rounds: How many timed rounds fit into the limits.
    """

    prepared: Prepared
    memory: int
    rounds: int


def try_cases(
    part: Part, tokens: int, backward: bool, setting: Setting, plan: Plan
) -> tuple[dict[str, Trial], dict[str, str]]:
    """Run every case once or twice at one size.

    Args:
        part: The part.
        tokens: N.
        backward: Whether a call is a training step.
        setting: What is the same at every size.
        plan: Knows what smaller sizes took; gets what these calls take.

    Returns:
        A trial by the name of the case; and for the others, why they are
        skipped.
    """
    trials, skipped, inputs = {}, {}, None
    for case in part.cases:
        try:
            plan.check(case, tokens)
            if inputs is None:  # they may be too large if no case takes them
                inputs = part.inputs(tokens)
            trials[case.name] = _try(case, tokens, inputs, backward, setting, plan)
        except Skipped as reason:
            skipped[case.name] = str(reason)
    return trials, skipped


def _try(
    case: Case,
    tokens: int,
    inputs: tuple[torch.Tensor, ...],
    backward: bool,
    setting: Setting,
    plan: Plan,
) -> Trial:
    limits = plan.limits
    try:
        prepared = prepare(case, tokens, inputs, backward, setting)
        if backward:  # the first step makes what later ones keep
            prepared.call()
        memory = peak_memory(prepared.call, setting.device)
        total = memory + prepared.held
        seconds = _seconds(prepared.call, setting.device)
        if limits.objection(seconds, total):
            # A second chance: the machine may have been busy.
            seconds = min(seconds, _seconds(prepared.call, setting.device))
    except RuntimeError as error:  # out of memory, or a missing kernel
        message = str(error).strip().split('\n')[0]
        raise Skipped(f'does not run: {message}') from error
    fixed = prepared.params if case.memory_power == 1 else 0
    plan.record(case, Cost(tokens, seconds, total - fixed, fixed))
    return Trial(prepared, memory, limits.num_rounds(seconds))


def _seconds(call: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    call()
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def time_trials(
    trials: dict[str, Trial], first: str, limits: Limits, device: str
) -> dict[str, list[float]]:
    """Time calls in turn.

    Args:
        trials: By name.
        first: Name of the case that the others are compared with. No case has
            more rounds than this one, so that times and their ratios come
            from the same rounds.
        limits: How long it may take.
        device: 'cpu' or a CUDA device.

    Returns:
        Seconds by name, a number for each round.
    """
    most = trials[first].rounds if first in trials else limits.rounds
    repeat = min(MIN_SECONDS, limits.seconds / (most + OTHER_CALLS))
    rounds = {name: min(trial.rounds, most) for name, trial in trials.items()}
    times: dict[str, list[float]] = {name: [] for name in trials}
    done = 0
    # Those with fewer rounds take part in the first ones.
    for goal in sorted(set(rounds.values())):
        running = {
            name: trial.prepared.call for name, trial in trials.items() if rounds[name] >= goal
        }
        more = interleave(running, goal - done, warmup=1, device=device, min_seconds=repeat)
        for name, seconds in more.items():
            times[name] += seconds
        done = goal
    return times
