"""Growth with the number of tokens: fits, skips, tables and plots."""

import json
import math
import time

import pytest
import torch
from torch import nn

from mmanchor.analysis.report import write_results
from tools.benchmarks.scaling import measure
from tools.benchmarks.scaling.cases import (
    PARTS,
    Case,
    Part,
    Setting,
    attention_part,
    grid_of,
    prepare,
    trunk_part,
)
from tools.benchmarks.scaling.plan import Limits, predict
from tools.benchmarks.scaling.report import (
    format_bytes,
    format_seconds,
    scaling_figure,
    scaling_table,
)
from tools.benchmarks.scaling.rows import fit_exponent, run_scaling, time_columns

TINY = Setting(heads=2, head_dims=4, anchors=3, trunk_depth=1)
QUICK = Limits(rounds=1)


@pytest.fixture(autouse=True, scope='module')
def _short_calls():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, 'MIN_SECONDS', 1e-3)
        yield


@pytest.fixture(scope='module')
def small_run():
    return run_scaling((16, 32), backward=True, setting=TINY, limits=QUICK)


class _Holds(nn.Module):
    """Takes ``power`` of the number of tokens in bytes, and no time."""

    def __init__(self, power):
        super().__init__()
        self.power = power

    def forward(self, x):
        return x.new_empty(len(x) ** self.power, dtype=torch.uint8)


class _Breaks(nn.Module):
    def forward(self, x):
        raise RuntimeError('no kernel for Half\nand a long tail')


def fake_part(monkeypatch, *cases):
    part = Part('fake', 'Fake', lambda tokens: (torch.zeros(tokens),), cases)
    monkeypatch.setitem(PARTS, 'fake', lambda *_: part)


def holding(power):
    return Case(f'power {power}', lambda *_: _Holds(power), memory_power=power)


def run_fake(tokens, **limits):
    return run_scaling(tokens, ['fake'], limits=Limits(rounds=1, **limits))


@pytest.mark.parametrize('power', [0.0, 1.0, 1.5, 2.0])
def test_the_exponent_of_a_power_law_is_its_power(power):
    tokens = [1024, 4096, 16384]
    numbers = [3e-9 * size**power for size in tokens]
    assert fit_exponent(tokens, numbers) == pytest.approx(power, abs=1e-9)


def test_small_sizes_and_gaps_do_not_enter_the_fit():
    tokens = [196, 1024, 4096, 16384, 65536]
    numbers = [1e9, 1024**2, 4096**2, None, 0]
    assert fit_exponent(tokens, numbers) == pytest.approx(2)
    assert fit_exponent(tokens[:2], numbers[:2]) is None


def test_the_fit_is_the_least_squares_line():
    # Through (0, 0), (1, 2), (2, 1) in logarithms the slope is 1 / 2.
    tokens = [1024, 1024 * math.e, 1024 * math.e**2]
    numbers = [1.0, math.e**2, math.e]
    assert fit_exponent(tokens, numbers) == pytest.approx(0.5)


def test_growth_is_the_formulas_unless_it_was_faster():
    assert predict([100], [2.0], 200, power=1) == pytest.approx(4)
    assert predict([50, 100], [2.0, 2.0], 200, power=2) == pytest.approx(8)
    assert predict([50, 100], [1.0, 8.0], 200, power=2) == pytest.approx(64)
    assert predict([50, 100], [1.0, 800.0], 200, power=1) == pytest.approx(3200)


def test_what_does_not_fit_in_memory_is_skipped_with_the_reason(monkeypatch):
    fake_part(monkeypatch, holding(1), holding(2))
    rows = run_fake((256, 4096), memory=1e7)['rows']
    reasons = {(row['name'], row['tokens']): row['skipped'] for row in rows}
    # 256^2 bytes and 1 kB of input, 256 times as much at 16 times N.
    reason = reasons.pop(('power 2', 4096))
    assert reason.startswith('would take 0.017 GB, over the 0.01 GB of ')
    assert '6.7e-05 GB at 256 tokens' in reason
    assert set(reasons.values()) == {None}


class _Heavy(_Holds):
    """A megabyte of parameters beside."""

    def __init__(self):
        super().__init__(1)
        self.weight = nn.Parameter(torch.zeros(1 << 18))


def test_parameters_that_do_not_grow_are_not_multiplied(monkeypatch):
    fake_part(monkeypatch, Case('heavy', lambda *_: _Heavy()))
    # A megabyte and 5 bytes a token of input and output.
    rows = run_fake((64, 1 << 16, 1 << 17), memory=1.5e6)['rows']
    assert [row['skipped'] is None for row in rows] == [True, True, False]
    assert 'would take 0.0017 GB' in rows[2]['skipped']


def test_a_first_large_size_is_tried_at_a_small_one_before(monkeypatch):
    fake_part(monkeypatch, holding(2))
    (row,) = run_fake((1 << 22,), memory=1e9)['rows']
    assert 'at 256 tokens' in row['skipped']
    assert row['tokens'] == 1 << 22 and row['bytes'] is None


class _Sleeps(_Holds):
    def forward(self, x):
        time.sleep(0.02)
        return super().forward(x)


@pytest.mark.parametrize('slow_first', [True, False])
def test_times_and_their_ratio_to_the_first_are_of_the_same_rounds(monkeypatch, slow_first):
    cases = [Case('slow', lambda *_: _Sleeps(1)), holding(1)]
    fake_part(monkeypatch, *cases[:: 1 if slow_first else -1])
    limits = Limits(rounds=20, seconds=0.3)  # enough for 12 calls of the slow
    first, second = run_scaling((16,), ['fake'], limits=limits)['rows']
    slow, fast = (first, second) if slow_first else (second, first)
    assert slow['rounds'] < 20
    assert fast['rounds'] == (slow['rounds'] if slow_first else 20)


def test_a_ratio_is_of_the_rounds_that_both_took_part_in():
    row = time_columns([1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 90.0, 90.0, 90.0, 90.0])
    assert (row['seconds'], row['speedup'], row['rounds']) == (1.0, 2.0, 3)


def test_what_takes_too_long_is_skipped_with_the_reason(monkeypatch):
    fake_part(monkeypatch, holding(1))
    first, second = run_fake((16, 32), seconds=1e-9)['rows']
    assert first['skipped'].startswith('takes ')
    assert second['skipped'].startswith('would take ')
    for row in (first, second):
        assert '4 of which are over the 1e-09 s of --budget' in row['skipped']
        assert row['seconds'] is row['speedup'] is None


def test_what_does_not_run_gives_the_first_line_of_the_error(monkeypatch):
    fake_part(monkeypatch, Case('broken', lambda *_: _Breaks()), holding(1))
    broken, other = run_fake((16,))['rows']
    assert broken['skipped'] == 'does not run: no kernel for Half'
    assert other['seconds'] > 0 and other['speedup'] is None


def test_slow_calls_have_fewer_rounds():
    limits = Limits(rounds=20, seconds=30)
    assert limits.num_rounds(1e-3) == 20
    assert limits.num_rounds(2.0) == 12  # and three other calls: 30 s
    assert limits.objection(3.3, 0) is None
    assert '9 of which' in limits.objection(3.4, 0)


def test_there_is_a_row_for_every_case_size_and_phase(small_run):
    rows = small_run['rows']
    assert {row['tokens'] for row in rows} == {16, 32}
    counts = {}
    for row in rows:
        key = row['part'], row['phase']
        counts[key] = counts.get(key, 0) + 1
        assert row['skipped'] is None and row['seconds'] > 0
        assert row['low'] <= row['speedup'] <= row['high']
        assert row['bytes'] > 0 or row['name'].startswith('GEMMs')
    assert counts == {
        ('attention', 'forward'): 18,
        ('attention', 'training step'): 18,
        ('trunk', 'forward'): 10,
        ('trunk', 'training step'): 8,
    }


def test_the_first_row_is_softmax_and_what_others_are_compared_with(small_run):
    for part in ('attention', 'trunk'):
        first = next(row for row in small_run['rows'] if row['part'] == part)
        assert 'softmax' in first['name'] and first['speedup'] == 1


def test_the_table_has_each_row_and_says_where_it_was_measured(small_run):
    table = scaling_table(small_run)
    for row in small_run['rows']:
        assert f'| {row["name"]} | ' in table
    assert table.count('### ') == 4 and table.count('| 16 | 32 |') == 8
    assert 'Not measured' not in table
    assert f'`{small_run["measured"]["commit"]}`' in table


def test_skipped_cells_are_dashes_with_a_reason_below(monkeypatch):
    fake_part(monkeypatch, holding(1), holding(2))
    results = run_fake((256, 4096), memory=1e7)
    lines = scaling_table(results).splitlines()
    cells = [line.split(' | ')[2] for line in lines if '| power 2 |' in line]
    assert cells == ['-', '-']
    (line,) = [line for line in lines if line.startswith('- power 2, 4096')]
    assert line.replace('`', '').endswith(results['rows'][-1]['skipped'])
    assert '`--max-memory`' in line


def test_the_plot_has_time_and_memory_of_each_part_and_phase(small_run):
    axes = scaling_figure(small_run).axes
    assert len(axes) == 8
    for axis in axes:
        assert axis.get_xscale() == axis.get_yscale() == 'log'
    time, memory = axes[:2]
    assert len(time.lines) == 9
    assert list(time.lines[0].get_xdata()) == [16, 32]
    first = small_run['rows'][0]
    assert time.lines[0].get_ydata()[0] == pytest.approx(first['seconds'] * 1e3)
    assert memory.lines[0].get_ydata()[0] == pytest.approx(first['bytes'] / 2**20)


def test_results_survive_their_files(small_run, tmp_path):
    table, figure = scaling_table(small_run), scaling_figure(small_run)
    files = write_results(tmp_path, 'scaling', small_run, table, figure)
    assert [file.suffix for file in files] == ['.json', '.md', '.png']
    loaded = json.loads(files[0].read_text())
    assert loaded == small_run
    assert scaling_table(loaded) == table


def test_memory_grows_as_the_formulas_say():
    tokens = (64, 128, 256)
    rows = run_scaling(tokens, ['attention'], setting=TINY, limits=QUICK)['rows']

    def power(name):
        return fit_exponent(tokens, [row['bytes'] for row in rows if row['name'] == name], start=64)

    assert power('anchor attention (ours)') <= 1.05
    assert power('linear-angular attention') <= 1.05
    for name in ('Sparsifiner, masked', 'Sparsifiner, gathered'):
        assert power(name) > 1.7


def test_a_training_step_gives_all_gradients():
    part = attention_part(TINY, True)
    ours = part.cases[1]
    inputs = part.inputs(8)
    grads = prepare(ours, 8, inputs, True, TINY).call()
    assert [None if grad is None else tuple(grad.shape) for grad in grads] == [
        None,
        (1, 2, 8, 4),
        (1, 2, 8, 4),
        (3, 4),
    ]


def test_what_is_held_is_inputs_and_parameters():
    part = attention_part(TINY, False)
    prepared = prepare(part.cases[1], 8, part.inputs(8), False, TINY)
    assert (prepared.inputs, prepared.params) == (4 * 3 * 2 * 8 * 4, 4 * 3 * 4)
    assert prepared.held == prepared.inputs + prepared.params


@pytest.mark.parametrize('backward', [False, True])
def test_trunks_differ_in_their_attention_alone(backward):
    twin, ours, alone, _, *bands = (
        case.build(6, backward) for case in trunk_part(TINY, backward).cases
    )
    assert alone.trunk.state_dict().keys() == ours.state_dict().keys()
    assert [each.chunk_tokens for each in bands] == [2048][backward:]
    assert [type(each.layers[0].attn).__name__ for each in (twin, ours)] == [
        'SoftmaxAttention',
        'LearnedAnchorAttention',
    ]
    assert ours.layers[0].attn.deploy is not backward
    assert len(twin.layers) == len(ours.layers) == 1
    assert twin.grid == ours.grid == (2, 3)


@pytest.mark.parametrize('tokens', [1, 12, 13, 196, 65536])
def test_the_map_has_so_many_tokens(tokens):
    height, width = grid_of(tokens)
    assert height * width == tokens and height <= width


def test_numbers_read_well():
    assert format_seconds(0.0123) == '12.3 ms'
    assert format_seconds(2.5) == '2.5 s'
    assert format_bytes(1536 << 20) == '1536 MiB'
    assert format_bytes(1 << 18) == '0.25 MiB'


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
def test_a_gpu_is_measured_too():
    setting = Setting(2, 2, 16, 3, 1, 'cuda', 'bfloat16')
    rows = run_scaling((64,), setting=setting, limits=QUICK)['rows']
    assert all(row['seconds'] > 0 for row in rows if not row['skipped'])
    assert rows[0]['skipped'] is rows[1]['skipped'] is None
