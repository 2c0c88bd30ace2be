"""Runs the benchmark size by size, and puts its numbers into rows."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mmanchor.analysis.provenance import measured
from mmanchor.analysis.timing import summarize
from mmanchor.utils.progress import Track, silently
from tools.benchmarks.scaling.cases import PARTS, Part, Setting
from tools.benchmarks.scaling.measure import time_trials, try_cases
from tools.benchmarks.scaling.plan import Limits, Plan

TOKENS = (196, 1024, 4096, 16384, 65536)
PHASES = ('forward', 'training step')
# Below so many tokens fixed costs hide the growth.
FIT_FROM = 1024
# Tried before a first size that is larger, to predict what that will take.
PROBE_TOKENS = 256


def run_scaling(
    tokens: Sequence[int] = TOKENS,
    parts: Sequence[str] = tuple(PARTS),
    backward: bool = False,
    setting: Setting | None = None,
    limits: Limits | None = None,
    track: Track = silently,
) -> dict[str, Any]:
    """Measure time and peak memory at every size.

    Args:
        tokens: Numbers of tokens N.
        parts: Names of :data:`~tools.benchmarks.scaling.cases.PARTS`.
        backward: Whether to measure a training step, too.
        setting: What is the same at every size; ``None`` takes the defaults.
        limits: How much may be spent; what would take more is skipped.
        track: Shows progress, such as :func:`mmanchor.cli.progress.track`.

    Returns:
        ``measured``, ``titles`` of the parts, ``tokens``, ``rows`` and
        ``exponents``. A row has ``part``, ``phase``, ``name``, ``kind`` (see
        :class:`~tools.benchmarks.scaling.cases.Case`), ``tokens``,
        ``seconds`` (median of a call), ``p90``, ``speedup`` over the part's
        first row with ``low`` and ``high``, ``rounds``, ``bytes`` (peak
        beyond inputs and parameters) and ``skipped``: ``None``, or why the
        numbers are ``None``.
    """
    setting, limits = setting or Setting(), limits or Limits()
    tokens = sorted(set(tokens))
    runs = [
        (PARTS[name](setting, step), step, Plan(limits))
        for name in parts
        for step in ((False, True) if backward else (False,))
    ]
    rows: list[dict[str, Any]] = []
    for (part, step, plan), size in track([(run, n) for run in runs for n in tokens], 'scaling'):
        rows += _rows(part, step, plan, setting, size)
    return dict(
        measured=measured(
            setting.device,
            setting=asdict(setting),
            rounds=limits.rounds,
            budget_seconds=limits.seconds,
            max_memory=None if math.isinf(limits.memory) else limits.memory,
        ),
        titles={part.name: part.title for part, _, _ in runs},
        tokens=tokens,
        rows=rows,
        exponents=_exponents(rows),
    )


def _rows(
    part: Part, backward: bool, plan: Plan, setting: Setting, tokens: int
) -> list[dict[str, Any]]:
    """Measure all cases of a part at one size: a row for each."""
    if tokens > PROBE_TOKENS and not plan.costs:
        try_cases(part, PROBE_TOKENS, backward, setting, plan)
    trials, skipped = try_cases(part, tokens, backward, setting, plan)
    first = part.cases[0].name
    times = time_trials(trials, first, plan.limits, setting.device)
    for name, seconds in times.items():  # better known than from one call
        plan.costs[name][-1].seconds = min(seconds)
    return [
        dict(
            part=part.name,
            phase=PHASES[backward],
            name=case.name,
            kind=case.kind,
            tokens=tokens,
            **time_columns(times.get(case.name), times.get(first)),
            bytes=trials[case.name].memory if case.name in trials else None,
            skipped=skipped.get(case.name),
        )
        for case in part.cases
    ]


def time_columns(times: list[float] | None, first: list[float] | None) -> dict[str, Any]:
    """The columns of a row that hold times.

    Args:
        times: Seconds of each round; ``None`` gives empty columns.
        first: Those of the part's first row; ``None`` leaves the speed-up
            out.

    Returns:
        ``seconds``, ``p90``, ``speedup``, ``low``, ``high`` and ``rounds``.
    """
    row: dict[str, Any] = dict.fromkeys(('seconds', 'p90', 'speedup', 'low', 'high', 'rounds'))
    if times is None:
        return row
    own = summarize(dict(own=times))['own']
    row.update(seconds=own.median, p90=own.p90, rounds=len(times))
    if first is not None:
        ratio = summarize(dict(first=first[: len(times)], own=times))['own']
        row.update(speedup=ratio.speedup, low=ratio.low, high=ratio.high)
    return row


def fit_exponent(
    tokens: Sequence[int], numbers: Sequence[float | None], start: int = FIT_FROM
) -> float | None:
    """The power of N that numbers grow with, by least squares of logarithms.

    Args:
        tokens: N.
        numbers: A number for each; those that are ``None`` or 0 are left out.
        start: Smaller sizes are left out, too.

    Returns:
        The exponent; ``None`` if fewer than two sizes are left.

    Example:
        >>> round(fit_exponent([1024, 2048, 4096], [1.0, 4.0, 16.0]), 6)
        2.0
    """
    pairs = [
        (math.log(size), math.log(number))
        for size, number in zip(tokens, numbers, strict=True)
        if size >= start and number
    ]
    if len(pairs) < 2:
        return None
    return float(np.polyfit(*zip(*pairs, strict=True), 1)[0])


def _exponents(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fitted exponents of each part, phase and name."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row['part'], row['phase'], row['name']), []).append(row)
    exponents = []
    for (part, phase, name), group in groups.items():
        sizes = [row['tokens'] for row in group]
        fits = {
            what: fit_exponent(sizes, [row[what] for row in group]) for what in ('seconds', 'bytes')
        }
        exponents.append(dict(part=part, phase=phase, name=name, fitted_from=FIT_FROM, **fits))
    return exponents
