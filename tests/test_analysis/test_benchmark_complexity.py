"""The command counts, and writes what it counted."""

import json

import pytest

from mmanchor.analysis import complexity
from mmanchor.analysis.complexity import complexity_table, run_complexity
from mmanchor.cli.main import main

OURS = 'picodet_anchorformer-t_coco'
RIVAL = 'mmdet::yolox/yolox_nano_8xb8-300e_coco.py'


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    assert (
        main(
            [
                'benchmark',
                'complexity',
                OURS,
                RIVAL,
                '--shape',
                '416',
                '--by-module',
                '1',
                '--out-dir',
                str(tmp_path),
            ]
        )
        == 0
    )
    results = json.loads((tmp_path / 'complexity.json').read_text())
    table = (tmp_path / 'complexity.md').read_text()
    assert table == complexity_table(results)
    assert 'without its training-only heads' in table
    assert table in capsys.readouterr().out
    assert (tmp_path / 'complexity.png').stat().st_size > 1000
    assert results['measured']['dtype'] == 'float32'
    rows = {(row['config'], row['form']): row for row in results['rows']}
    assert set(rows) == {(OURS, 'training'), (OURS, 'deploy'), (RIVAL, 'training')}
    # YOLOX's paper: 0.91M parameters, 1.08G operations, two a multiply-add.
    nano = rows[RIVAL, 'training']
    assert nano['params'] == pytest.approx(0.91e6, rel=0.01)
    assert nano['macs'] == pytest.approx(0.54e9, rel=0.01)
    for row in rows.values():
        assert sum(each['macs'] for each in row['modules']) == row['macs']
        assert not row['uncounted']


def test_options_and_sizes_reach_the_model(tiny):
    config = str(tiny / 'picodet.py')
    plain, narrow = (
        run_complexity([config], options, (64, 96))['rows'][0]
        for options in ({}, {'model.bbox_head.num_classes': 1})
    )
    assert (plain['height'], plain['width']) == (64, 96)
    assert narrow['params'] < plain['params'] and narrow['macs'] < plain['macs']


def test_unknown_operators_are_named_below_the_table():
    row = dict(
        config='a/b.py',
        form='training',
        height=8,
        width=8,
        params=1,
        macs=2,
        uncounted=['mmcv::conv'],
        modules=[],
    )
    results = run_complexity([])
    results['rows'] = [row]
    assert 'b, training form: the MACs lack mmcv::conv' in complexity_table(results)


@pytest.mark.parametrize(
    'words, says',
    [
        (['--shape', '1', '2', '3'], '--shape takes a height and a width'),
        (['--by-module', '0'], 'a depth of at least 1, got 0'),
        (['--cfg-options', 'model'], '--cfg-options takes KEY=VALUE'),
    ],
)
def test_mistakes_are_one_message(words, says, tmp_path, capsys):
    out = tmp_path / 'out'
    command = ['benchmark', 'complexity', OURS, '--out-dir', str(out)]
    assert main(command + words) == 1
    assert says in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(complexity, 'run_complexity', None)
    (tmp_path / 'file').touch()
    command = ['benchmark', 'complexity', OURS, '--out-dir']
    assert main([*command, str(tmp_path / 'file')]) == 1
    assert '--out-dir' in capsys.readouterr().err
