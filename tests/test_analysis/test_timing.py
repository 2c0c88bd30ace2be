"""Interleaved times and their summary."""

import pytest

from mmanchor.analysis.timing import interleave, summarize


def test_calls_alternate():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in 'abc'}
    interleave(calls, rounds=2, warmup=1, min_seconds=0)
    assert ''.join(order) == 'abc' * 3


def test_short_calls_are_repeated_within_a_round():
    count = []
    times = interleave({'a': lambda: count.append(0)}, 2, 1, min_seconds=1e-3)
    assert len(count) > 20 and len(times['a']) == 2
    assert all(0 < seconds < 1e-3 for seconds in times['a'])


@pytest.mark.parametrize('name', ['rounds', 'warmup'])
def test_rounds_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f'{name} must be at least 1, got 0'):
        interleave({'a': int}, **{name: 0})


def test_a_constant_ratio_has_an_interval_of_no_width():
    summary = summarize({'slow': [3.0, 6.0, 12.0], 'fast': [1.0, 2.0, 4.0]})
    assert summary['slow'].speedup == 1
    fast = summary['fast']
    assert (fast.low, fast.speedup, fast.high) == (3, 3, 3)
    assert fast.median == 2
    assert fast.p90 == pytest.approx(2 + 0.8 * 2)  # between the last two


def test_the_interval_holds_the_ratio_and_widens_with_noise():
    calm = [1.0 + 0.01 * (i % 3) for i in range(30)]
    wild = [1.0 + 0.5 * (i % 3) for i in range(30)]
    summary = summarize({'first': [2.0] * 30, 'calm': calm, 'wild': wild})
    for name in ('calm', 'wild'):
        timing = summary[name]
        assert timing.low <= timing.speedup <= timing.high
    calm, wild = (summary[name].high - summary[name].low for name in ('calm', 'wild'))
    assert wild > calm


@pytest.mark.parametrize('rounds, whole', [(3, True), (5, True), (20, False)])
def test_few_rounds_have_a_range_and_no_interval(rounds, whole):
    own = [1.0 + 0.1 * i for i in range(rounds)]
    timing = summarize({'first': [1.0] * rounds, 'own': own})['own']
    extremes = (1 / own[-1], 1.0)
    assert ((timing.low, timing.high) == pytest.approx(extremes)) is whole
