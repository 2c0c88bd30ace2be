"""The paper's tables: complete, as printed, and counted as others count."""

import json
import re
from pathlib import Path

import pytest
import yaml

from mmanchor.cli.main import main
from mmanchor.utils.config import find_config
from mmanchor.utils.errors import UserError
from tools.benchmarks import papers

ROWS = [(table, row) for table in papers.TABLES.values() for row in table['rows']]
OURS = {
    (1, 'AnchorFormer-T'): (4.2, 0.7, 81.12, 93.86),
    (1, 'AnchorFormer-S'): (18.6, 2.7, 84.69, 96.82),
    (1, 'AnchorFormer-B'): (63.5, 9.2, 86.62, 97.84),
    (2, 'AnchorFormer-T'): (2.9, 1.1, 41.23, 60.57, 45.46),
    (2, 'AnchorFormer-S'): (5.5, 1.7, 43.61, 62.83, 48.29),
    (2, 'AnchorFormer-B'): (8.6, 2.8, 45.75, 65.35, 51.81),
    (3, 'AnchorFormer, Semantic-FPN'): (21.6, 193.7, 43.81, 56.57),
    (3, 'AnchorFormer, UperNet'): (49.6, 928.1, 46.28, 56.33),
    (4, 'Anchor, Diff.'): (4.2, 0.7, 81.12),
    (5, 'small, M = 100'): (19.4, 3.2, 80.69),
}


CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
REPORTED = [
    pytest.param(model['Metadata']['Reported'], id=model['Name'])
    for metafile in sorted(CONFIGS.glob('*/metafile.yml'))
    for model in yaml.safe_load(metafile.read_text())['Models']
    if 'AnchorFormer' in model['Metadata'].get('Reported', {}).get('By', '')
]


@pytest.mark.parametrize('reported', REPORTED)
def test_metafiles_report_what_the_tables_have(reported):
    number = int(reported['By'].removeprefix('AnchorFormer, Table '))
    texts = [reported[key] for key in ('Parameters', 'FLOPs')]
    texts += re.findall(r' ([\d.]+)(?:,|$)', reported['Scores'])
    found = [float(text.rstrip('MG')) for text in texts]
    rows = papers.TABLES[number]['rows']
    assert found in [[row.get('params'), row.get('gflops'), *row.get('scores', ())] for row in rows]


def only(monkeypatch, *rows, number=9, scores=('top-1',)):
    """Let the paper have one table, of ``rows``."""
    table = dict(number=number, title='a title', scores=scores, rows=list(rows))
    monkeypatch.setattr(papers, 'TABLES', {number: table})
    return papers.run_papers([number])


def test_no_row_of_the_paper_is_left_out():
    counts = {
        number: sum('extra' not in row for row in table['rows'])
        for number, table in papers.TABLES.items()
    }
    assert counts == {1: 40, 2: 18, 3: 10, 4: 4, 5: 10}


@pytest.mark.parametrize('table, row', ROWS, ids=lambda x: x.get('model') or f'table {x["number"]}')
def test_a_row_is_complete(table, row):
    known = {'model', 'params', 'gflops', 'scores', 'config', 'options', 'size', 'note', 'extra'}
    assert set(row) <= known
    assert 'config' in row or row['note']
    if 'config' in row:
        assert find_config(row['config']).is_file()
    if 'extra' in row:
        assert not {'params', 'gflops', 'scores'} & set(row)
    else:
        assert row['gflops'] and len(row['scores']) == len(table['scores'])


def row_of(number, name):
    (row,) = (row for table, row in ROWS if (table['number'], row['model']) == (number, name))
    return row


@pytest.mark.parametrize('number, name', OURS)
def test_what_the_paper_reports_of_us_stands_as_printed(number, name):
    row = row_of(number, name)
    assert (row['params'], row['gflops'], *row['scores']) == OURS[number, name]


# Published by the models' authors or by the toolboxes.
@pytest.mark.parametrize(
    'number, name, params, macs',
    [
        (1, 'EfficientNet-B0', 5.29e6, 0.40e9),
        (1, 'LeViT-128', 9.2e6, 0.406e9),
        (1, 'DeiT-T', 5.72e6, 1.26e9),
        (1, 'PVTv2-V2', 25.4e6, 4.0e9),
        (2, 'YOLOX-Nano', 0.91e6, 0.54e9),
        (2, 'MobileNetV2', 4.3e6, 0.8e9),
        (3, 'ResNet50, Semantic-FPN', 28.5e6, 183e9),
    ],
)
def test_counts_are_those_that_others_publish(number, name, params, macs, monkeypatch):
    scores = papers.TABLES[number]['scores']
    (counted,) = only(monkeypatch, row_of(number, name), scores=scores)['rows']
    counts = counted['forms']['training']
    assert counts['params'] == pytest.approx(params, rel=0.02)
    assert counts['macs'] == pytest.approx(macs, rel=0.04)
    assert not counts['uncounted']


def test_a_row_that_fails_costs_no_other(monkeypatch):
    results = only(
        monkeypatch,
        dict(model='gone', params=1, gflops=2, scores=[3], config='no-such-config'),
        dict(model='undefined', params=1, gflops=2, scores=[None], note='because'),
        dict(
            model='demo',
            config='upernet_anchorformer-demo_1xb8-1100_demo-128',
            size=[64, 64],
            extra=True,
        ),
    )
    gone, undefined, demo = results['rows']
    assert 'no-such-config' in gone['error'] and 'config' not in undefined
    assert demo['forms']['deploy']['params'] > 0
    table = papers.papers_table(results)
    assert '| gone | 1 | 2 | 3 | - |' in table and '| failed: UserE' in table
    assert '| not built: because |' in table
    assert '| demo (not in the paper) | - | - | - | 64 x 64 |' in table


def test_the_command_writes_what_it_prints(tmp_path, capsys, monkeypatch):
    first, *_, last = papers.TABLES[4]['rows']
    monkeypatch.setitem(papers.TABLES, 4, dict(papers.TABLES[4], rows=[first, last]))
    command = ['benchmark', 'papers', '--tables', '4', '--out-dir']
    assert main([*command, str(tmp_path)]) == 0
    results = json.loads((tmp_path / 'papers.json').read_text())
    table = (tmp_path / 'papers.md').read_text()
    assert 'without its training-only heads' in table
    assert table == papers.papers_table(results)
    assert table in capsys.readouterr().out
    assert (tmp_path / 'papers.png').stat().st_size > 1000
    # DeiT-T and ours with softmax attention are one model.
    ours, zoo = (results['rows'][i]['forms']['training'] for i in (0, 1))
    assert ours == zoo


def test_tables_that_the_paper_lacks_are_refused():
    with pytest.raises(UserError, match='no table 7; choose among 1, 2, 3, 4, 5'):
        papers.run_papers([1, 7])


def test_bad_tables_and_folders_are_refused_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(papers, 'run_papers', None)
    command = ['benchmark', 'papers', '--out-dir']
    out = tmp_path / 'out'
    assert main([*command, str(out), '--tables', '7']) == 1
    assert 'no table 7' in capsys.readouterr().err and not out.exists()
    out.touch()
    assert main([*command, str(out)]) == 1
    assert '--out-dir' in capsys.readouterr().err


def test_stars_are_anchorformers_alone():
    built = [(table, row) for table, row in ROWS if 'config' in row and 'gflops' in row]
    results = dict(
        rows=[
            dict(
                table=table['number'],
                config=row['config'],
                reported=dict(gflops=row['gflops']),
                forms=dict(training=dict(macs=1e9)),
            )
            for table, row in built
        ]
    )
    (axes,) = papers.papers_figure(results).axes
    stars = sorted(
        float(x) for line in axes.lines if line.get_marker() == '*' for x in line.get_xdata()
    )
    ablations = ('Anchor', 'tiny', 'small')
    assert stars == sorted(row['gflops'] for _, row in built if row['model'].startswith(ablations))
