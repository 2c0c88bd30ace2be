"""The suite, its goals, and the document that is made of its results."""

import re
import subprocess
from pathlib import Path

import pytest

from mmanchor.analysis.latency import latency_table
from mmanchor.cli import benchmark
from mmanchor.cli.main import main
from mmanchor.utils.config import find_config
from mmanchor.utils.errors import UserError
from mmanchor.utils.files import write_json
from tools.benchmarks import suite
from tools.benchmarks.goals import GEMMS, GOALS, ON_A_GPU, OURS, goals_table, measured_goals
from tools.benchmarks.large_images import large_table
from tools.benchmarks.papers import papers_table
from tools.benchmarks.scaling import scaling_table
from tools.benchmarks.suite import SUITE, read_results, render, run_suite, summary_table
from tools.benchmarks.training import training_table

DOCS = Path(__file__).resolve().parents[2] / 'docs'


def scaling_row(name, tokens, seconds, speedup, skipped=None, spread=0.5):
    return dict(
        part='attention',
        phase='forward',
        name=name,
        kind={OURS: 'ours', GEMMS: 'bound'}.get(name, 'rival'),
        tokens=tokens,
        seconds=seconds,
        speedup=speedup,
        low=speedup and speedup - spread,
        high=speedup and speedup + spread,
        skipped=skipped,
    )


SCALING = dict(
    tokens=[1024, 4096, 16384, 65536],
    rows=[
        scaling_row(OURS, 1024, 0.0005, 10.0),
        scaling_row(OURS, 65536, 1.3, None),
        scaling_row('softmax (SDPA)', 4096, 0.1, 1.0),
        scaling_row('softmax (SDPA)', 16384, None, None, 'too long'),
        scaling_row(OURS, 4096, 0.002, 50.0),
        scaling_row(OURS, 16384, 0.008, None),
        scaling_row(GEMMS, 4096, 0.0005, 200.0),
        scaling_row(GEMMS, 16384, 0.005, None),
    ],
    exponents=[dict(name=OURS, phase='forward', seconds=1.02, bytes=1.5)],
)

EMPTY = dict(
    tokens=[],
    rows=[],
    exponents=[],
    best=[],
    compared=[dict(difference=0.0, ratio=1.0, low=1.0, high=1.0)],
)


def test_figures_stand_beside_their_goals():
    found = {each.goal.what: each for each in measured_goals(dict(attention=SCALING)) if each.value}
    assert sorted(each.value for each in found.values()) == pytest.approx(
        [1.02, 1.5, 1.6, 4.0, 50.0]
    )
    met = {each.value: each.goal.is_met(each.value)
           for each in found.values()}  # yapf: disable
    assert [met[value] for value in sorted(met)] == [True, False, True, False, True]
    table = goals_table(measured_goals(dict(attention=SCALING)))
    missing = len(GOALS) - 5 + len(ON_A_GPU)
    assert table.count('not measured') == missing
    assert '| at least 45x | 50x (49.5 to 50.5) | yes |' in table
    assert '| at most 2x | 4x | **no** |' in table


@pytest.mark.parametrize(
    'speedup, told',
    [
        (45.5, '| at least 45x | 45.5x (42.5 to 48.5) | yes, within the noise |'),
        (44.0, '| at least 45x | 44x (41 to 47) | **no**, within the noise |'),
        (40.0, '| at least 45x | 40x (37 to 43) | **no** |'),
    ],
)
def test_goals_that_another_run_may_miss_are_told_from_others(speedup, told):
    row = scaling_row(OURS, 4096, 0.002, speedup, spread=3.0)
    found = measured_goals(dict(attention=dict(EMPTY, rows=[row])))
    assert told in goals_table(found)


def test_a_template_takes_single_figures(tmp_path):
    (tmp_path / 'attention').mkdir()
    write_json(tmp_path / 'attention/scaling.json', SCALING)
    (tmp_path / 'template.md').write_text(
        f'Now <!-- figure attention 4096 {OURS} -->, <!-- figure attention '
        f'exponent {OURS} -->; <!-- figure attention 16384 {OURS} -->, '
        f'<!-- figure trunk 4096 {OURS} -->, <!-- figure attention 7 x -->'
    )
    assert render(tmp_path) == ('Now 50x, 1.02; not measured, not measured, not measured')


def test_the_summary_has_times_where_there_is_no_softmax_to_compare_with():
    table = summary_table(dict(attention=SCALING))
    assert f'| attention: {OURS} | 10x | 50x | 8 ms | 1.3 s |' in table
    assert GEMMS not in table  # no attention, but a bound
    assert 'Nothing' in summary_table({})


def test_a_template_takes_tables_goals_and_the_summary(tmp_path):
    (tmp_path / 'attention').mkdir()
    write_json(tmp_path / 'attention/scaling.json', SCALING)
    (tmp_path / 'attention/scaling.md').write_text('| table |\n\n')
    (tmp_path / 'template.md').write_text(
        'Text.\n<!-- goals -->\n<!-- include attention/scaling.md -->\n'
        '<!-- include large/large.md -->\n<!-- summary -->\nEnd.\n'
    )
    text = render(tmp_path)
    assert text.startswith('Text.\n| goal |')
    assert '\n| table |\n`large/large.md` is not measured yet.\n' in text
    assert text.endswith('|\nEnd.\n') and '<!--' not in text


def test_only_what_is_missing_runs_and_the_document_is_written(tmp_path, monkeypatch):
    folder, ran = tmp_path / 'numbers', []

    def fake(command, **kwargs):
        words, out = command[4:-2], Path(command[-1])
        ran.append(words)
        write_json(out / f'{words[0]}.json', EMPTY)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, 'run', fake)
    assert run_suite(folder) == tmp_path / 'numbers.md'
    assert ran == list(SUITE.values())
    assert set(read_results(folder)) == set(SUITE)
    assert (tmp_path / 'numbers.md').read_text() == render(folder)
    run_suite(folder)
    assert len(ran) == len(SUITE)
    run_suite(folder, again=True)
    assert len(ran) == 2 * len(SUITE)


@pytest.mark.parametrize('out_dir', ['runs-v1.2', '.'])
def test_the_document_has_the_whole_name_of_the_folder(tmp_path, monkeypatch, out_dir):
    here = tmp_path / 'here.now'
    here.mkdir()
    monkeypatch.chdir(here)
    given = []

    def fake(command, **kwargs):
        given.append(Path(command[-1]))
        write_json(given[-1] / f'{command[4]}.json', EMPTY)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, 'run', fake)
    whole = {'.': tmp_path / 'here.now.md'}.get(out_dir, here / 'runs-v1.2.md')
    assert run_suite(out_dir) == whole and whole.is_file()
    assert given == [Path(out_dir, name) for name in SUITE]
    Path(out_dir, 'attention/scaling.png').touch()
    assert f'({whole.stem}/attention/scaling.png)' in render(Path(out_dir))


def test_no_place_for_the_document_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, 'run', lambda *_, **__: 1 / 0)
    (tmp_path / 'x.md').mkdir()
    with pytest.raises(UserError, match='x.md. is a folder; give another'):
        run_suite(tmp_path / 'x')
    with pytest.raises(UserError, match="'/' has no folder around it"):
        suite._check_document(Path('/'))


@pytest.mark.parametrize(
    'source, results, values',
    [
        (
            'detectors',
            dict(
                best=[
                    dict(config='picodet_anchorformer-s_coco', batch=1, speedup=5.0),
                    dict(config='mmdet::rtmdet_tiny', batch=1, speedup=2.0),
                    dict(config='mmdet::yolox_tiny', batch=1, speedup=4.0),
                    dict(config='mmdet::yolox_tiny', batch=8, speedup=9.0),
                ]
            ),
            [2.5, 1.25],
        ),
        (
            'segmentors',
            dict(
                rows=[
                    dict(config='upernet_anchorformer_ade', test_memory=3e9),
                    dict(config='mmseg::swin/swin-tiny-x.py', test_memory=None),
                    dict(config='mmseg::swin/swin-tiny-x.py', test_memory=4e9),
                ]
            ),
            [0.75],
        ),
        (
            'large',
            dict(
                rows=[
                    dict(side=8192, form='plain', bytes=9e9),
                    dict(side=8192, form='in bands', bytes=2e9),
                    dict(side=16384, form='in bands', bytes=None),
                ],
                compared=[
                    dict(difference=1e-6, ratio=1.2, low=1.1, high=1.3),
                    dict(difference=3e-6, ratio=1.1, low=1.0, high=1.2),
                ],
            ),
            [2.0, None, 3e-6, 1.2],
        ),
        (
            'training',
            dict(
                rows=[
                    dict(kind='loading', share=0.1),
                    dict(kind='loading', share=0.4),
                    dict(kind='assignment', share=0.2),
                ]
            ),
            [20.0, 40.0],
        ),
    ],
)
def test_goals_take_their_figures_from_the_rows(source, results, values):
    found = [each.value for each in measured_goals({source: results})
             if each.goal.source == source]  # yapf: disable
    assert found == [value and pytest.approx(value) for value in values]


def test_the_command_runs_the_suite(tmp_path, monkeypatch, capsys):

    def fake(command, **kwargs):
        write_json(Path(command[-1], f'{command[4]}.json'), EMPTY)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, 'run', fake)
    words = ['benchmark', 'all', '--out-dir', str(tmp_path / 'numbers')]
    assert main(words) == 0
    assert f'written to {tmp_path}/numbers.md' in capsys.readouterr().out


def test_a_benchmark_that_fails_stops_the_suite(tmp_path, monkeypatch):
    monkeypatch.setattr(
        subprocess, 'run', lambda command, **kwargs: subprocess.CompletedProcess(command, 1)
    )
    with pytest.raises(UserError, match='benchmark scaling .* error'):
        run_suite(tmp_path / 'x')
    assert not (tmp_path / 'x.md').exists()


def test_the_suite_names_commands_and_configs_that_there_are():
    for words in SUITE.values():
        assert words[0] in (*benchmark.INSTALLED, *benchmark.OF_THE_CHECKOUT)
        if words[0] == 'latency':
            last = next(i for i, word in enumerate(words) if word[:2] == '--')
            for name in words[1:last]:
                assert find_config(name)


TABLES = dict(
    scaling=scaling_table,
    latency=latency_table,
    large=large_table,
    training=training_table,
    papers=papers_table,
)


def test_the_documents_are_made_of_the_results():
    folder = DOCS / 'benchmarks'
    results = read_results(folder)
    assert (DOCS / 'benchmarks.md').read_text() == render(folder)
    assert summary_table(results) in (DOCS.parent / 'README.md').read_text()
    assert set(results) == set(SUITE)
    for name in results:
        words = SUITE[name]
        table = suite.result_file(folder, name).with_suffix('.md')
        assert table.read_text() == TABLES[words[0]](results[name]), name
        # Measured with what the checkout had, and by the suite's own words.
        about = results[name]['measured']
        assert re.fullmatch('[0-9a-f]{7,}', about['commit']), name
        assert ' '.join(words) in about['command'], name
