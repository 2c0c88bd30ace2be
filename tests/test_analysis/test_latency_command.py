import json

import pytest

from mmanchor.analysis import latency
from mmanchor.analysis.engines import ENGINES, Engine
from mmanchor.cli.main import main


@pytest.fixture(autouse=True)
def _short_calls(monkeypatch):
    monkeypatch.setattr(latency, 'MIN_SECONDS', 1e-3)


def test_command_writes_its_results(tiny, tmp_path, capsys):
    words = ['benchmark', 'latency', str(tiny / 'det.py')]
    words += ['--shape', '32', '--rounds', '2', '--batch', '1', '2', '2']
    assert main([*words, '--out-dir', str(tmp_path / 'out')]) == 0
    table = (tmp_path / 'out/latency.md').read_text()
    assert table in capsys.readouterr().out
    results = json.loads((tmp_path / 'out/latency.json').read_text())
    assert [row['batch'] for row in results['rows']] == [1, 2]
    assert results['measured']['dtype'] == 'float32'
    assert (tmp_path / 'out/latency.png').stat().st_size > 1000


@pytest.mark.parametrize(
    'words, message',
    [
        (['--engines', 'tvm'], "no engine 'tvm'; choose from eager, compile"),
        (['--shape', '1', '2', '3'], '--shape takes a height and a width'),
        (['--shape', '0'], '--shape takes a height and a width'),
        (['--batch', '0'], '--batch must be at least 1, got 0'),
        (['--cfg-options', 'model'], '--cfg-options takes KEY=VALUE'),
    ],
)
def test_mistake_is_one_message(tiny, tmp_path, capsys, words, message):
    words = ['benchmark', 'latency', str(tiny / 'det.py'), *words]
    assert main([*words, '--out-dir', str(tmp_path / 'out')]) == 1
    error = capsys.readouterr().err
    assert error.startswith('mmanchor benchmark: ') and message in error
    assert not (tmp_path / 'out').exists()


def test_where_nothing_runs_nothing_is_written(tiny, tmp_path, capsys, monkeypatch):

    def broken(network, images):
        raise RuntimeError('no kernel')

    monkeypatch.setitem(ENGINES, 'eager', Engine('eager', broken))
    words = ['benchmark', 'latency', str(tiny / 'det.py'), '--shape', '32']
    assert main([*words, '--out-dir', str(tmp_path / 'out')]) == 1
    assert 'RuntimeError: no kernel' in capsys.readouterr().out
    assert not list((tmp_path / 'out').glob('latency.*'))


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(
    tiny, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(latency, 'run_latency', None)
    (tmp_path / 'file').touch()
    words = ['benchmark', 'latency', str(tiny / 'det.py')]
    assert main([*words, '--out-dir', str(tmp_path / 'file')]) == 1
    assert '--out-dir' in capsys.readouterr().err
