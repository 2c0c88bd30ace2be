"""``mmanchor benchmark training``: what it writes, and refuses."""

import functools
import json

import pytest

from mmanchor.cli.main import main
from mmanchor.utils.config import load_config
from tools.benchmarks import training


def test_the_command_writes_a_row_for_each_share(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, 'DEMOS', dict(scenes=('seg', 'ade')))
    monkeypatch.setattr(training, 'demo_config', lambda *_: load_config(tiny / 'seg.py'))
    monkeypatch.setattr(training, 'ASSIGNED', (str(tiny / 'picodet.py'),))
    monkeypatch.setattr(
        training,
        'assignment_share',
        functools.partial(training.assignment_share, batch=2, size=(64, 64)),
    )
    words = ['--iters', '2', '--assignment-iters', '1']
    out = tmp_path / 'out'
    assert main(['benchmark', 'training', *words, '--out-dir', str(out)]) == 0
    results = json.loads((out / 'training.json').read_text())
    loading, assignment = results['rows']
    assert (loading['kind'], loading['config'], loading['iters']) == ('loading', 'seg', 2)
    assert (assignment['kind'], assignment['iters']) == ('assignment', 1)
    assert assignment['config'] == str(tiny / 'picodet.py')
    table = (out / 'training.md').read_text()
    assert table == training.training_table(results)
    assert '| seg | waiting for data | 2 |' in table
    assert '| assigning boxes to priors | 2 |' in table
    assert table in capsys.readouterr().out


@pytest.mark.parametrize('option', ['--iters', '--assignment-iters'])
def test_no_iterations_are_refused(tmp_path, capsys, option):
    words = ['benchmark', 'training', option, '0', '--out-dir']
    assert main([*words, str(tmp_path / 'x')]) == 1
    assert f'{option} must be at least 1, got 0' in capsys.readouterr().err
    assert not (tmp_path / 'x').exists()
