"""The rows of the ablations, what they train, and their table."""

import json
from pathlib import Path

import pytest
import torch

from mmanchor.analysis.networks import build_test_model
from mmanchor.cli.main import main
from mmanchor.models.layers import LearnedAnchorAttention, SoftmaxAttention, TokenAnchorAttention
from mmanchor.utils.files import read_json
from tools.studies.digits.ablation import digest, mean_and_spread, run_ablation
from tools.studies.digits.costs import anchors_per_token
from tools.studies.digits.report import ablation_table, write_report
from tools.studies.digits.rows import ROWS

DOCS = Path(__file__).resolve().parents[2] / 'docs'


def attention_of(name):
    return build_test_model(ROWS[name].config()).backbone.layers[0].attn


def test_the_rows_of_table_4_differ_in_the_attention_alone():
    kinds = {name: type(attention_of(name)) for name in ('w64-softmax', 'w64-token', 'w64-m30')}
    assert list(kinds.values()) == [SoftmaxAttention, TokenAnchorAttention, LearnedAnchorAttention]
    cfgs = [ROWS[name].config() for name in kinds]
    for cfg in cfgs:
        for key in ('attention', 'num_anchors'):
            cfg.model.backbone.pop(key, None)
    assert cfgs[0].to_dict() == cfgs[1].to_dict() == cfgs[2].to_dict()


@pytest.mark.parametrize('width', [64, 128])
def test_the_rows_of_table_5_have_their_anchors(width):
    for m in (10, 30, 50, 100):
        attention = attention_of(f'w{width}-m{m}')
        assert attention.anchors.shape == (m, 32)


def test_the_other_rows_are_what_their_names_say():
    assert attention_of('w64-perhead').anchors.shape == (2, 30, 32)
    assert attention_of('w64-local').depthwise is not None
    assert attention_of('w64-softmax-local').depthwise is not None
    plain = attention_of('w64-m30').anchors.std()
    assert 3 < attention_of('w64-sharp').anchors.std() / plain < 5


def test_over_how_many_anchors_a_token_is_spread():
    images = torch.rand(2, 3, 32, 32)
    even = build_test_model(ROWS['w64-m10'].config())
    for layer in even.backbone.layers:
        layer.attn.anchors.data.zero_()
    assert anchors_per_token(even, images) == pytest.approx(10)
    for layer in even.backbone.layers:
        layer.attn.anchors.data[0] = 0
        layer.attn.anchors.data[1:] = layer.attn.anchors.new_tensor(1e9)
    assert 1 <= anchors_per_token(even, images) <= 9 + 1e-4
    assert anchors_per_token(build_test_model(ROWS['w64-softmax'].config()), images) is None


def test_a_run_is_known_by_its_recipe():
    digests = {digest(row.config()) for row in ROWS.values()}
    assert len(digests) == len(ROWS) == 17
    cfg = ROWS['w64-m30'].config()
    before = digest(cfg)
    cfg.optim_wrapper.optimizer.lr /= 2
    assert digest(cfg) != before
    assert digest(ROWS['w64-m30'].config()) == before


@pytest.mark.slow
def test_a_row_trains_and_is_not_trained_again(tmp_path):
    results = run_ablation(tmp_path, ['w64-m30'], 1, 4, 1)
    (row,) = results['rows']
    (run,) = row['runs']
    # Hardly trained: better than chance, far from good.
    assert 10 < run['accuracy'] < 95 and 0 < run['loss'] < 2.3
    assert (
        row['cost']['deploy'] and row['cost']['params'] < 110e3 and row['cost']['microseconds'] > 0
    )
    again = run_ablation(tmp_path, ['w64-m30', 'w64-m30'], 1, 4, 1)
    assert again['rows'][0]['runs'] == [run]
    assert json.loads((tmp_path / 'results.json').read_text()) == again
    table, plot = write_report(again, tmp_path)
    assert f'{run["accuracy"]:.1f} ± 0.0' in table.read_text()
    assert plot.stat().st_size > 10000


@pytest.mark.parametrize(
    'words, said',
    [
        (['--rows', 'w64-m31'], 'w64-m31'),
        (['--seeds', '0'], '--seeds must be 1 or more, got 0'),
        (['--epochs', '3'], '--epochs must be 4 or more, got 3'),
        (['--jobs', '0'], '--jobs must be 1 or more, got 0'),
    ],
)
def test_wrong_options_are_named(words, said, tmp_path, capsys):
    out = ['--out-dir', str(tmp_path / 'out')]
    assert main(['ablation', *words, *out]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_the_table_has_the_mean_and_the_spread_of_each_row():
    about = dict(
        seeds=2,
        epochs=4,
        training_minutes=3.0,
        commit='abc',
        cores=2,
        processor='a processor',
        python='3.11',
        torch='2.11',
    )
    cost = dict(params=106_000, macs=7_000_000, microseconds=160.4, anchors_per_token=29.6)
    runs = [dict(accuracy=94.0, loss=0.7, commit='abc'), dict(accuracy=97.0, loss=0.8, commit='de')]
    row = dict(title='learned', table='Table 4', width=64, runs=runs, cost=cost)
    table = ablation_table(dict(measured=about, rows=[row]))
    assert (
        '| learned | Table 4 | 64 | 95.5 ± 1.5 | 0.750 | 29.6 | 106.0k | 7.00M | 160 µs |' in table
    )
    assert 'Trained at commit `abc`, `de` in 3 minutes' in table
    assert mean_and_spread(runs) == (95.5, 1.5)


def test_the_documented_results_are_of_all_rows():
    results = read_json(DOCS / 'benchmarks/digits/ablation.json')
    assert [row['name'] for row in results['rows']] == list(ROWS)
    for row in results['rows']:
        assert len(row['runs']) == results['measured']['seeds'] == 3
        assert (row['title'], row['table']) == (ROWS[row['name']].title, ROWS[row['name']].table)
