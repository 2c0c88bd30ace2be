"""What the project set out to reach, and what was measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Union

from mmanchor.analysis.report import markdown_table
from tools.benchmarks.rivals import OURS
from tools.benchmarks.scaling_cases import ALONE, BANDS, GEMMS, LESS_ALONE, TRUNK

Results = dict[str, Any]
# A figure, or the figure with both ends of its interval.
Figure = Union[None, float, tuple[float, float, float]]


@dataclass(frozen=True)
class Goal:
    """A figure that a benchmark has to reach.

    Args:
        what: What is measured.
        source: The benchmark of the suite that measures it.
        value: The figure, from that benchmark's results; with a 95 %
            interval if there is one.
        at_least: The least that it may be; or
        at_most: the most.
        unit: Written after figures.
        factor: From the figure to the unit.
    """

    what: str
    source: str
    value: Callable[[Results], Figure]
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ''
    factor: float = 1.0

    def bound(self) -> str:
        """The goal, in words."""
        if self.at_least is not None:
            return f'at least {self.at_least:g}{self.unit}'
        return f'at most {self.at_most:g}{self.unit}'

    def is_met(self, value: float) -> bool:
        """Whether a figure, in the unit, is good enough."""
        if self.at_least is not None:
            return value >= self.at_least
        return value <= self.at_most


def _row(results: Results, name: str, tokens: int, phase: str) -> dict[str, Any] | None:
    """A row of the scaling benchmark that has numbers."""
    for row in results['rows']:
        if (row['name'], row['tokens'], row['phase']) == (name, tokens, phase) and not row[
            'skipped'
        ]:
            return row
    return None


def _speedup(name: str, tokens: int, phase: str = 'forward') -> Callable:
    """How many times faster than softmax."""

    def value(results: Results) -> Figure:
        row = _row(results, name, tokens, phase)
        if row is None or row['speedup'] is None:
            return None
        return row['speedup'], row['low'], row['high']

    return value


def _over(name: str, other: str, tokens: int) -> Callable:
    """Time of one over time of the other."""

    def value(results: Results) -> float | None:
        rows = [_row(results, each, tokens, 'forward')
                for each in (name, other)]  # yapf: disable
        if None in rows:
            return None
        return rows[0]['seconds'] / rows[1]['seconds']

    return value


def _exponent(what: str) -> Callable:

    def value(results: Results) -> float | None:
        ends = [_row(results, OURS, tokens, 'forward')
                for tokens in (1024, 65536)]  # yapf: disable
        for row in results['exponents']:
            if (row['name'], row['phase']) == (OURS, 'forward') and all(ends):
                return row[what]
        return None

    return value


def _faster_than(config: str, rival: str) -> Callable:
    """How many times faster, each network in its best engine."""

    def value(results: Results) -> float | None:
        speedups = {row['config']: row['speedup'] for row in results['best']
                    if row['batch'] == 1}  # yapf: disable
        found = [
            [ratio for name, ratio in speedups.items() if part in name] for part in (config, rival)
        ]
        return found[0][0] / found[1][0] if all(found) else None

    return value


def _memory_over(config: str, rival: str) -> Callable:
    """Peak memory of one over that of the other."""

    def value(results: Results) -> float | None:
        found = [[row['test_memory'] for row in results['rows']
                  if part in row['config'] and row.get('test_memory')]
                 for part in (config, rival)]  # yapf: disable
        return found[0][0] / found[1][0] if all(found) else None

    return value


def _large(side: int) -> Callable:

    def value(results: Results) -> float | None:
        for row in results['rows']:
            if (row['side'], row['form']) == (side, 'in bands'):
                return row['bytes']
        return None

    return value


def _compared(what: str) -> Callable:
    return lambda results: max(row[what] for row in results['compared'])


def _time_in_bands(results: Results) -> Figure:
    return max((row['ratio'], row['low'], row['high']) for row in results['compared'])


def _share(kind: str) -> Callable:
    return lambda results: max(
        (row['share'] for row in results['rows'] if row['kind'] == kind), default=None
    )


def _goals() -> Iterator[Goal]:
    alone = 'attention alone, 6 heads of 64, M = 30'
    for tokens, least in ((4096, 45), (16384, 200)):
        yield Goal(
            f'{alone}, {tokens} tokens: times faster than SDPA',
            'attention',
            _speedup(OURS, tokens),
            least,
            unit='x',
        )
    for tokens in (4096, 16384):
        yield Goal(
            f'{alone}, {tokens} tokens: time over that of its GEMMs',
            'attention',
            _over(OURS, GEMMS, tokens),
            at_most=2,
            unit='x',
        )
    for what, name in (('seconds', 'time'), ('bytes', 'memory')):
        yield Goal(
            f'{alone}: exponent of {name}, 1 024 to 65 536 tokens',
            'attention',
            _exponent(what),
            at_most=1.05,
        )
    for tokens, least in ((4096, 45), (16384, 200)):
        yield Goal(
            f'the same with huge pages, {tokens} tokens: times faster than SDPA',
            'huge-pages',
            _speedup(OURS, tokens),
            least,
            unit='x',
        )
    yield Goal(
        'the same with huge pages: exponent of time, 1 024 to 65 536 tokens',
        'huge-pages',
        _exponent('seconds'),
        at_most=1.05,
    )
    yield Goal(
        f'{alone}, 4096 tokens: training step, times faster than SDPA',
        'training-step',
        _speedup(OURS, 4096, 'training step'),
        25,
        unit='x',
    )
    trunk = 'small trunk, deploy form'
    for name, title in ((TRUNK, trunk), (BANDS, f'{trunk}, in bands')):
        for tokens, least in ((4096, 3.5), (196, 1.2)):
            yield Goal(
                f'{title}, {tokens} tokens: times faster than its softmax twin',
                'trunk',
                _speedup(name, tokens),
                least,
                unit='x',
            )
    for tokens in (196, 4096):
        for bound in (ALONE, LESS_ALONE):
            yield Goal(
                f'{trunk}, {tokens} tokens: time over that of {bound}',
                'trunk',
                _over(TRUNK, bound, tokens),
                at_most=1.25,
                unit='x',
            )
    for rival, title in (('rtmdet_tiny', 'RTMDet-tiny'), ('yolox_tiny', 'YOLOX-tiny')):
        yield Goal(
            f'PicoDet-AnchorFormer-S at 416, best engine of each: times faster than {title}',
            'detectors',
            _faster_than('picodet_anchorformer-s', rival),
            2,
            unit='x',
        )
    yield Goal(
        'UperNet at 512 x 2048, whole test of one image: peak memory over '
        "Swin-T UperNet's",
        'segmentors', _memory_over('upernet_anchorformer', 'swin-tiny'),
        at_most=1, unit='x')  # yapf: disable
    for side, most in ((8192, 2.5), (16384, 8)):
        yield Goal(
            f'small trunk in bands, {side} x {side} pixels: peak memory',
            'large',
            _large(side),
            at_most=most,
            unit=' GB',
            factor=1e-9,
        )
    yield Goal(
        'in bands, 1024 x 1024 pixels: largest difference from the plain forward',
        'large',
        _compared('difference'),
        at_most=1e-5,
    )
    yield Goal(
        'in bands, 1024 x 1024 pixels: time over that of the plain forward',
        'large',
        _time_in_bands,
        at_most=1.3,
        unit='x',
    )
    yield Goal("SimOTA's share of a PicoDet-S training step, batch 16 at 416",
               'training', _share('assignment'), at_most=15, unit=' %',
               factor=100)  # yapf: disable
    yield Goal("waiting for data, share of the demos' training time",
               'training', _share('loading'), at_most=50, unit=' %',
               factor=100)  # yapf: disable


GOALS = tuple(_goals())
# What needs a card: no benchmark of the suite has measured it yet.
ON_A_GPU = (
    'fused attention: time over that of reading K, V and writing the output',
    'fused attention against FlashAttention, 197 to 65 536 tokens',
    'the demo configs trained at full size',
)


@dataclass(frozen=True)
class Measured:
    """A goal, and what came of it.

    Args:
        goal: The goal.
        value: The figure in the goal's unit; ``None`` is not measured.
        low, high: Its 95 % interval, if that is known.
    """

    goal: Goal
    value: float | None
    low: float | None = None
    high: float | None = None

    def figure(self) -> str:
        """What was measured, in words."""
        if self.value is None:
            return 'not measured'
        unit, span = self.goal.unit, ''
        if self.low is not None:
            span = f' ({self.low:.3g} to {self.high:.3g})'
        return f'{self.value:.3g}{unit}{span}'

    def verdict(self) -> str:
        """Whether the goal is reached, and whether another run may differ."""
        if self.value is None:
            return ''
        told = 'yes' if self.goal.is_met(self.value) else '**no**'
        if self.low is None:
            return told
        same = self.goal.is_met(self.low) == self.goal.is_met(self.high)
        return told if same else f'{told}, within the noise'


def measured_goals(results: dict[str, Results]) -> list[Measured]:
    """The figures of all goals.

    Args:
        results: Results by the name of the benchmark.
    """
    found = []
    for goal in GOALS:
        value = None
        if goal.source in results:
            value = goal.value(results[goal.source])
        if value is None:
            found.append(Measured(goal, None))
            continue
        numbers = value if isinstance(value, tuple) else (value,)
        found.append(Measured(goal, *(number * goal.factor for number in numbers)))
    return found


def goals_table(found: list[Measured]) -> str:
    """The goals as Markdown.

    Args:
        found: What :func:`measured_goals` gave.
    """
    rows = [(each.goal.what, each.goal.bound(), each.figure(), each.verdict()) for each in found]
    rows += [(f'on a GPU: {what}', '', 'not measured', '')
             for what in ON_A_GPU]  # yapf: disable
    return markdown_table(('goal', 'bound', 'measured (95 %):', 'reached'), rows)
