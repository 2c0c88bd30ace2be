"""Decides what is worth measuring: limits, and predictions from smaller sizes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmanchor.analysis.timing import MIN_ROUNDS
from tools.benchmarks.scaling.cases import Case

# Calls beside the timed rounds: for memory, for a first time, and to warm up.
OTHER_CALLS = 3


class Skipped(Exception):
    """Why a case is not measured at one size."""


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
        """How many rounds fit in.

        Args:
            seconds: Time of one call.
        """
        fitting = int(self.seconds / max(seconds, 1e-9)) - OTHER_CALLS
        return min(self.rounds, fitting)

    def objection(self, seconds: float, memory: float) -> str | None:
        """Why a call is not measured, or ``None`` if it is.

        Args:
            seconds: Time of one call.
            memory: Bytes that it holds.
        """
        if memory > self.memory:
            return f'{memory / 1e9:.3g} GB, over the {self.memory / 1e9:.3g} GB of --max-memory'
        least = min(MIN_ROUNDS, self.rounds)
        if self.num_rounds(seconds) < least:
            return (
                f'{seconds:.3g} s a call, {least + OTHER_CALLS} of which '
                f'are over the {self.seconds:g} s of --budget-seconds'
            )
        return None


@dataclass
class Cost:
    """What one call took at one size.

    Args:
        tokens: N.
        seconds: Time of one call.
        memory: Bytes that grow with N, inputs included.
        fixed: Bytes that are the same at every size.
    """

    tokens: int
    seconds: float
    memory: int
    fixed: int


@dataclass
class Plan:
    """What the cases of a part took so far, to predict larger sizes by.

    Args:
        limits: How much a measurement may take.
    """

    limits: Limits
    costs: dict[str, list[Cost]] = field(default_factory=dict)

    def check(self, case: Case, tokens: int) -> None:
        """Refuse a size that will take too much, judged by smaller ones.

        Args:
            case: The case.
            tokens: N, larger than those before.

        Raises:
            Skipped: If the prediction is over the limits.
        """
        costs = self.costs.get(case.name)
        if not costs:
            return
        sizes, last = [cost.tokens for cost in costs], costs[-1]
        seconds = predict(sizes, [cost.seconds for cost in costs], tokens, case.time_power)
        memory = predict(sizes, [cost.memory for cost in costs], tokens, case.memory_power)
        reason = self.limits.objection(seconds, memory + last.fixed)
        if reason:
            raise Skipped(
                f'would take {reason} (it took {last.seconds:.3g} s and '
                f'{(last.memory + last.fixed) / 1e9:.2g} GB at {last.tokens} tokens)'
            )

    def record(self, case: Case, cost: Cost) -> None:
        """Note what a first call took.

        Args:
            case: The case.
            cost: What it took, at a larger size than those before.

        Raises:
            Skipped: If it is over the limits.
        """
        self.costs.setdefault(case.name, []).append(cost)
        reason = self.limits.objection(cost.seconds, cost.memory + cost.fixed)
        if reason:
            raise Skipped(f'takes {reason}')


def predict(tokens: Sequence[int], numbers: Sequence[float], at: int, power: int) -> float:
    """Predict a number at a larger size.

    Args:
        tokens: Sizes so far, increasing.
        numbers: The number at each of them.
        at: The larger size.
        power: Power of the size that the number grows with by its formula. If
            it grew faster between the last two sizes that growth counts, but
            at most one power more: anything beyond is noise.

    Example:
        >>> predict([10], [3.0], 20, power=2)
        12.0
        >>> predict([10, 20], [1.0, 8.0], 40, power=2)
        64.0
    """
    exponent = float(power)
    if len(tokens) > 1 and numbers[-2] > 0:
        grown = math.log(numbers[-1] / numbers[-2]) / math.log(tokens[-1] / tokens[-2])
        exponent = min(max(exponent, grown), exponent + 1)
    return numbers[-1] * (at / tokens[-1]) ** exponent
