"""Large images: what is measured, and what is left out."""

import json
import os

import pytest
import torch

from mmanchor.cli.main import main
from tools.benchmarks import large_images
from tools.benchmarks.large_images import large_table, run_large
from tools.benchmarks.memory import process_peak


@pytest.fixture
def here(monkeypatch):
    """Forwards in this process, which is quicker to start."""

    def call(function, *args):
        return function(torch.get_num_threads(), *args)

    monkeypatch.setattr(large_images, 'in_own_process', call)
    monkeypatch.setattr(large_images, 'COMPARED', (64,))


def test_every_side_is_measured_in_both_forms(here):
    results = run_large((48, 64), chunk_tokens=8, arch='tiny', rounds=2)
    assert [(row['side'], row['tokens'], row['form']) for row in results['rows']] == [
        (48, 9, 'plain'),
        (48, 9, 'in bands'),
        (64, 16, 'plain'),
        (64, 16, 'in bands'),
    ]
    for row in results['rows']:
        assert row['seconds'] > 0 and row['skipped'] is None
        assert row['bytes'] > row['image_bytes'] == 12 * row['side'] ** 2
    (compared,) = results['compared']
    assert 0 <= compared['difference'] < 1e-5 * compared['largest']
    assert compared['low'] <= compared['ratio'] <= compared['high']
    json.dumps(results)
    table = large_table(results)
    assert '| 64 x 64 | 16 | in bands |' in table
    assert 'at commit' in table


def test_what_would_need_too_much_is_left_out_with_the_reason(here, monkeypatch):
    # One of 501 MB grows, with the square of the side: by 2500 at the last.
    monkeypatch.setattr(
        large_images,
        'in_own_process',
        lambda *args: dict(seconds=1.0, bytes=501_000_000, fixed_bytes=500_000_000),
    )
    results = run_large((48, 96, 4800), 8, 'tiny', max_memory=1e9, rounds=1)
    assert [row['skipped'] is None for row in results['rows']] == [True] * 4 + [False] * 2
    for row in results['rows'][4:]:
        assert row['seconds'] is None
        assert 'about 3 GB, over the 1 GB allowed' in row['skipped']
    assert 'over the 1 GB allowed' in large_table(results)


def test_a_first_image_that_cannot_fit_is_not_tried(here, monkeypatch):

    def never(*args):
        raise AssertionError

    monkeypatch.setattr(large_images, 'in_own_process', never)
    plain, bands = run_large((16384,), 8, 'tiny', 4e9, rounds=1)['rows']
    # The image alone is 3.2 GB, tokens of 192 channels are 0.8 GB.
    assert plain['skipped'] == 'would need about 11.3 GB, over the 4 GB allowed'
    assert bands['skipped'] == 'would need about 4.43 GB, over the 4 GB allowed'


@pytest.mark.parametrize(
    'error, reason',
    [
        (RuntimeError('no memory: 9 GB\nand a trace'), 'RuntimeError: no memory: 9 GB'),
        (MemoryError(), 'MemoryError: '),
    ],
)
def test_what_fails_leaves_the_other_rows(here, monkeypatch, error, reason):
    forward = large_images.forward_once

    def failing(threads, arch, side, chunk_tokens):
        if (side, chunk_tokens) == (64, None):
            raise error
        return forward(threads, arch, side, chunk_tokens)

    monkeypatch.setattr(large_images, 'forward_once', failing)
    results = run_large((48, 64, 80, 96), 8, 'tiny', rounds=1)
    plain, bands = results['rows'][::2], results['rows'][1::2]
    # What failed once is not tried on a larger image.
    why = 'not tried, as 64 x 64 pixels gave nothing'
    assert [row['skipped'] for row in plain] == [None, reason, why, why]
    assert [row['skipped'] for row in bands] == [None] * 4
    assert all(bool(row['bytes']) != bool(row['skipped']) for row in results['rows'])
    table = large_table(results)
    assert f'| plain | {reason} |' in table
    assert 'in turn (smallest to largest)' in table


@pytest.mark.slow
def test_a_killed_process_is_a_row_too(monkeypatch):
    monkeypatch.setattr(large_images, 'forward_once', killed)
    found = large_images._outcome('tiny', 48, None)
    assert found['skipped'].startswith('BrokenProcessPool: ')


def killed(*args):
    os._exit(9)


@pytest.mark.slow
def test_a_process_of_its_own_starts_from_its_own_peak():
    held = torch.ones(200_000_000)  # 0.8 GB here, and none there
    peak = large_images.in_own_process(peak_there)
    assert peak < process_peak() - held.nbytes / 2


def peak_there(threads):
    return process_peak()


def test_no_memory_at_all_is_not_the_default(here):
    results = run_large((48, 64), 8, 'tiny', max_memory=0, rounds=1)
    assert all(row['skipped'] for row in results['rows'])


def test_the_command_writes_its_results(here, tmp_path, capsys):
    words = ['--sides', '64', '48', '--arch', 'tiny', '--chunk-tokens', '8']
    words += ['--rounds', '1', '--max-memory', '100']
    out = tmp_path / 'out'
    assert main(['benchmark', 'large', *words, '--out-dir', str(out)]) == 0
    results = json.loads((out / 'large.json').read_text())
    assert [row['side'] for row in results['rows']] == [48, 48, 64, 64]
    table = (out / 'large.md').read_text()
    assert table == large_table(results)
    assert table in capsys.readouterr().out


@pytest.mark.parametrize(
    'options, message',
    [
        (['--sides', '8'], '--sides must be at least 16, got 8'),
        (['--chunk-tokens', '0'], '--chunk-tokens must be at least 1, got 0'),
        (['--max-memory', '0'], '--max-memory must be above 0, got 0.0'),
        (['--max-memory', 'nan'], '--max-memory must be above 0, got nan'),
    ],
)
def test_options_out_of_range_are_refused(options, message, tmp_path, capsys):
    words = ['benchmark', 'large', *options, '--out-dir', str(tmp_path / 'x')]
    assert main(words) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'x').exists()
