"""Time and memory over the number of tokens, ours beside rivals'."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from mmanchor.analysis.memory import machine_memory, peak_memory
from mmanchor.analysis.report import measured
from mmanchor.analysis.timing import MIN_ROUNDS, interleave, summarize
from mmanchor.utils.progress import Track, silently
from tools.benchmarks.scaling_cases import PARTS, Case, Part, Prepared, Setting, prepare
from tools.benchmarks.scaling_report import scaling_figure, scaling_table

__all__ = [
    'Limits',
    'Setting',
    'fit_exponent',
    'machine_memory',
    'run_scaling',
    'scaling_figure',
    'scaling_table',
]

TOKENS = (196, 1024, 4096, 16384, 65536)
PHASES = ('forward', 'training step')
# Below so many tokens fixed costs hide the growth.
FIT_FROM = 1024
# What a case is tried at before a first size that is larger.
PROBE_TOKENS = 256
# Of one call in a round, repeated if it is shorter: a single one would be
# timed as the slow call before has left the caches.
MIN_SECONDS = 0.1
# Calls beside the rounds: for memory, for a first time, and to warm up.
_OTHER_CALLS = 3


@dataclass(frozen=True)
class Limits:
    """How much a measurement may take.

    Args:
        rounds: Timed rounds, at most.
        seconds: Time for all calls of one case at one size.
        memory: Bytes, inputs and parameters included.
    """

    rounds: int = 20
    seconds: float = 120.0
    memory: float = math.inf

    def num_rounds(self, seconds: float) -> int:
        """How many rounds there is time for.

        Args:
            seconds: Of one call.
        """
        fitting = int(self.seconds / max(seconds, 1e-9)) - _OTHER_CALLS
        return min(self.rounds, fitting)

    def objection(self, seconds: float, memory: float) -> str | None:
        """Why a call is not measured, or ``None`` if it is.

        Args:
            seconds: Of one call.
            memory: Bytes that it holds.
        """
        if memory > self.memory:
            return f'{memory / 1e9:.3g} GB, over the {self.memory / 1e9:.3g} GB of --max-memory'
        least = min(MIN_ROUNDS, self.rounds)
        if self.num_rounds(seconds) < least:
            return (
                f'{seconds:.3g} s a call, {least + _OTHER_CALLS} of which '
                f'are over the {self.seconds:g} s of --budget-seconds'
            )
        return None


@dataclass
class _Seen:
    """What one call took at one size."""

    tokens: int
    seconds: float
    memory: int  # inputs included, and what else grows
    fixed: int  # bytes that are the same at every size


@dataclass
class _Candidate:
    """A case that is measured at one size."""

    prepared: Prepared
    memory: int  # the call alone
    rounds: int


@dataclass
class _PartRun:
    """Measures one part, size by size, and remembers to predict by."""

    part: Part
    backward: bool
    setting: Setting
    limits: Limits
    seen: dict[str, list[_Seen]] = field(default_factory=dict)

    def rows(self, tokens: int) -> list[dict[str, Any]]:
        """Measure all cases at one size.

        Args:
            tokens: N, larger than those before.

        Returns:
            A row for each case.
        """
        if tokens > PROBE_TOKENS and not self.seen:
            self._candidates(PROBE_TOKENS)
        candidates = self._candidates(tokens)
        chosen = {name: each for name, each in candidates.items()
                  if isinstance(each, _Candidate)}  # yapf: disable
        times = self._times(chosen)
        for name, each in times.items():
            self.seen[name][-1].seconds = min(each)
        first = times.get(self.part.cases[0].name)
        rows = []
        for case in self.part.cases:
            name, each = case.name, candidates[case.name]
            row = dict(
                part=self.part.name,
                phase=PHASES[self.backward],
                name=name,
                kind=case.kind,
                tokens=tokens,
            )
            if name in chosen:
                row.update(_times_of(times[name], first), bytes=chosen[name].memory, skipped=None)
            else:
                row.update(_times_of(None, None), bytes=None, skipped=str(each))
            rows.append(row)
        return rows

    def _candidates(self, tokens: int) -> dict[str, _Candidate | str]:
        """A :class:`_Candidate` by name, or the reason why there is none."""
        inputs = (
            self.part.inputs(tokens)
            if any(self._objection(case, tokens) is None for case in self.part.cases)
            else ()
        )
        return {case.name: self._candidate(case, tokens, inputs) for case in self.part.cases}

    def _candidate(self, case: Case, tokens: int, inputs: tuple) -> _Candidate | str:
        """What is measured of a case, or the reason why nothing is."""
        reason = self._objection(case, tokens)
        if reason is not None:
            return reason
        device = self.setting.device
        try:
            prepared = prepare(case, tokens, inputs, self.backward, self.setting)
            if self.backward:  # the first step makes what later ones keep
                prepared.call()
            memory = peak_memory(prepared.call, device)
            total = memory + prepared.held
            seconds = _seconds(prepared.call, device)
            if self.limits.objection(seconds, total):
                # It may have been the machine: nobody is judged by one call.
                seconds = min(seconds, _seconds(prepared.call, device))
        except RuntimeError as error:  # out of memory, or a missing kernel
            message = str(error).strip().split('\n')[0]
            return f'does not run: {message}'
        fixed = prepared.params if case.memory_power == 1 else 0
        self.seen.setdefault(case.name, []).append(_Seen(tokens, seconds, total - fixed, fixed))
        reason = self.limits.objection(seconds, total)
        if reason is not None:
            return f'takes {reason}'
        return _Candidate(prepared, memory, self.limits.num_rounds(seconds))

    def _objection(self, case: Case, tokens: int) -> str | None:
        """Why a size need not be tried, by what smaller ones took."""
        seen = self.seen.get(case.name)
        if not seen:
            return None
        last, sizes = seen[-1], [each.tokens for each in seen]
        seconds = predict(sizes, [each.seconds for each in seen], tokens, case.time_power)
        memory = predict(sizes, [each.memory for each in seen], tokens, case.memory_power)
        reason = self.limits.objection(seconds, memory + last.fixed)
        return reason and (
            f'would take {reason} (it took {last.seconds:.3g} s and '
            f'{(last.memory + last.fixed) / 1e9:.2g} GB at {last.tokens} '
            'tokens)'
        )

    def _times(self, chosen: dict[str, _Candidate]) -> dict[str, list[float]]:
        """Seconds by name, a number for each round.

        Nobody has more rounds than the first case, so that times and their
        ratios to the first one's are of the same rounds.
        """
        first = chosen.get(self.part.cases[0].name)
        most = first.rounds if first else self.limits.rounds
        # Short calls may not be repeated for longer than there is time.
        repeat = min(MIN_SECONDS, self.limits.seconds / (most + _OTHER_CALLS))
        rounds = {name: min(each.rounds, most)
                  for name, each in chosen.items()}  # yapf: disable
        times: dict[str, list[float]] = {name: [] for name in chosen}
        done = 0
        # Whoever has fewer rounds takes part in the first ones.
        for goal in sorted(set(rounds.values())):
            running = {
                name: each.prepared.call for name, each in chosen.items() if rounds[name] >= goal
            }
            more = interleave(
                running, goal - done, warmup=1, device=self.setting.device, min_seconds=repeat
            )
            for name, each in more.items():
                times[name] += each
            done = goal
        return times


def run_scaling(
    tokens: Sequence[int] = TOKENS,
    parts: Sequence[str] = tuple(PARTS),
    backward: bool = False,
    setting: Setting = Setting(),
    limits: Limits = Limits(),
    track: Track = silently,
) -> dict[str, Any]:
    """Measure time and peak memory at every size.

    Args:
        tokens: Numbers of tokens N.
        parts: Names of :data:`PARTS`.
        backward: Whether to measure a training step, too.
        setting: What is the same at every size.
        limits: How much may be spent; what would take more is skipped.
        track: Shows progress, such as :func:`mmanchor.cli.progress.track`.

    Returns:
        ``measured``, ``titles`` of the parts, ``tokens``, ``rows`` and
        ``exponents``. A row has ``part``, ``phase``, ``name``, ``kind`` (see
        :class:`Case`), ``tokens``, ``seconds`` (median of a call), ``p90``,
        ``speedup`` over the part's first row with ``low`` and ``high``,
        ``rounds``, ``bytes`` (peak beyond inputs and parameters) and
        ``skipped``: ``None``, or why the others are.
    """
    runs = [
        _PartRun(PARTS[name](setting, each), each, setting, limits)
        for name in parts
        for each in (False, True)[: 1 + backward]
    ]
    tokens = sorted(set(tokens))
    rows = []
    steps = [(each, size) for each in runs for size in tokens]
    for each, size in track(steps, 'scaling'):
        rows += each.rows(size)
    return dict(
        measured=measured(
            setting.device,
            setting=asdict(setting),
            rounds=limits.rounds,
            budget_seconds=limits.seconds,
            max_memory=None if math.isinf(limits.memory) else limits.memory,
        ),
        titles={each.part.name: each.part.title for each in runs},
        tokens=tokens,
        rows=rows,
        exponents=_exponents(rows),
    )


def predict(tokens: Sequence[int], numbers: Sequence[float], at: int, power: int) -> float:
    """What a number will be at a larger size.

    Args:
        tokens: Sizes so far, increasing.
        numbers: The number at each of them.
        at: The larger size.
        power: Power of the size that the number grows with by its formula.
            Growth between the last two sizes counts instead where it is
            faster, up to a power more: what is beyond is noise.

    Example:
        >>> predict([10], [3.0], 20, power=2)
        12.0
        >>> predict([10, 20], [1.0, 8.0], 40, power=2)
        64.0
    """
    grown = float(power)
    if len(tokens) > 1 and numbers[-2] > 0:
        seen = math.log(numbers[-1] / numbers[-2]) / math.log(tokens[-1] / tokens[-2])
        grown = min(max(grown, seen), grown + 1)
    return numbers[-1] * (at / tokens[-1]) ** grown


def fit_exponent(
    tokens: Sequence[int], numbers: Sequence[float | None], start: int = FIT_FROM
) -> float | None:
    """The power of N that numbers grow with, by least squares of logarithms.

    Args:
        tokens: N.
        numbers: A number for each; those that are ``None`` or 0 do not count.
        start: Smaller sizes do not count either.

    Returns:
        The exponent; ``None`` if fewer than two sizes are left.

    Example:
        >>> round(fit_exponent([1024, 2048, 4096], [1.0, 4.0, 16.0]), 6)
        2.0
    """
    pairs = [(math.log(size), math.log(number))
             for size, number in zip(tokens, numbers)
             if size >= start and number]  # yapf: disable
    if len(pairs) < 2:
        return None
    return float(np.polyfit(*zip(*pairs), 1)[0])


def _seconds(call: Callable[[], object], device: str) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _times_of(times: list[float] | None, first: list[float] | None) -> dict[str, Any]:
    """The columns of a row that tell time; speedup only beside a first."""
    row: dict[str, Any] = dict.fromkeys(('seconds', 'p90', 'speedup', 'low', 'high', 'rounds'))
    if times is None:
        return row
    own = summarize(dict(own=times))['own']
    row.update(seconds=own.median, p90=own.p90, rounds=len(times))
    if first is not None:
        shared = dict(first=first[: len(times)], own=times)
        ratio = summarize(shared)['own']
        row.update(speedup=ratio.speedup, low=ratio.low, high=ratio.high)
    return row


def _exponents(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fitted exponents of each part, phase and name."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        key = row['part'], row['phase'], row['name']
        groups.setdefault(key, []).append(row)
    return [
        dict(
            zip(('part', 'phase', 'name'), key),
            fitted_from=FIT_FROM,
            **{
                what: fit_exponent([row['tokens'] for row in group], [row[what] for row in group])
                for what in ('seconds', 'bytes')
            },
        )
        for key, group in groups.items()
    ]
