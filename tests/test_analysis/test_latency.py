import json

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from mmanchor.analysis import latency
from mmanchor.analysis.engines import ENGINES, Engine
from mmanchor.analysis.latency import LatencyOptions, latency_figure, latency_table, run_latency
from mmanchor.analysis.networks import Network, build_network
from mmanchor.models.layers import LearnedAnchorAttention
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError

QUICK = dict(size=(32, 32), rounds=2)


@pytest.fixture(autouse=True)
def _short_calls(monkeypatch):
    monkeypatch.setattr(latency, 'MIN_SECONDS', 1e-3)


@pytest.fixture
def classifier(tmp_path):
    """A tiny classifier that has a deploy form and starts from a file."""
    cfg = load_config('anchorformer-t_in1k')
    cfg.model.backbone.update(
        arch=dict(embed_dims=16, num_layers=1, num_heads=2, mlp_ratio=2),
        img_size=32,
        init_cfg=dict(type='Pretrained', checkpoint='/no/such/file.pth'),
    )
    cfg.model.head.in_channels = 16
    path = tmp_path / 'classifier.py'
    cfg.dump(path)
    return str(path)


def test_networks_give_what_the_toolboxes_call_tensors(tiny, classifier):
    images = torch.randn(2, 3, 32, 32)
    shapes = {
        name: [tuple(x.shape) for x in build_network(load_config(path), (32, 32))(images)]
        for name, path in (('det', tiny / 'det.py'), ('seg', tiny / 'seg.py'), ('cls', classifier))
    }
    assert shapes == dict(
        det=[(2, c, s, s) for c in (3, 4) for s in (4, 2, 1)], seg=[(2, 4, 8, 8)], cls=[(2, 1000)]
    )


def test_outputs_do_not_fade(tiny):
    network = build_network(load_config(tiny / 'picodet.py'), (64, 64))
    assert not network.training
    assert not any(m.training for m in network.modules())
    scores = network(torch.randn(2, 3, 64, 64))[0]
    # The initial bias of scores is the same everywhere: noise is left.
    assert scores.std() > 1e-2
    assert all(m.momentum == 0.1 for m in network.modules() if isinstance(m, _BatchNorm))


def test_weights_that_start_at_zero_are_drawn(classifier):
    cfg = load_config(classifier)
    cfg.model.head.init_cfg = dict(type='Constant', layer='Linear', val=0.0)
    (scores,) = build_network(cfg, (32, 32))(torch.randn(2, 3, 32, 32))
    assert scores.std() > 1e-3


def test_nothing_is_downloaded(tiny, monkeypatch):
    cfg = load_config(tiny / 'seg.py')
    cfg.model.pretrained = 'https://no.where/a.pth'
    cfg.model.decode_head.init_cfg = [
        dict(type='Constant', val=3.0, layer='Conv2d'),
        dict(type='Pretrained', checkpoint='https://no.where/b.pth'),
    ]
    before = cfg.to_dict()
    network = build_network(cfg, (32, 32))
    assert cfg.to_dict() == before
    # As the other init_cfg says; the default is 0.01.
    weight = network.model.decode_head.conv_seg.weight
    assert torch.equal(weight, torch.full_like(weight, 3.0))


@pytest.mark.parametrize('form, switched', [('deploy', True), ('training', False)])
def test_form_is_the_one_asked_for(classifier, form, switched):
    network = build_network(load_config(classifier), (32, 32), form)
    layers = [m for m in network.modules() if isinstance(m, LearnedAnchorAttention)]
    assert layers and all(m.deploy is switched for m in layers)
    assert network.form == form


def test_models_without_a_deploy_form_say_training(tiny):
    assert build_network(load_config(tiny / 'det.py'), (32, 32)).form == 'training'


def test_rows_compare_with_the_first_of_the_batch(tiny, classifier):
    configs = [str(tiny / 'det.py'), classifier]
    results = run_latency(configs, LatencyOptions(batches=(1, 2), **QUICK))
    rows = results['rows']
    assert [(row['config'], row['batch']) for row in rows] == [
        (config, batch) for config in configs for batch in (1, 2)
    ]
    assert [row['form'] for row in rows] == ['training'] * 2 + ['deploy'] * 2
    assert [row['speedup'] for row in rows[:2]] == [1, 1]
    for row in rows:
        assert row['images_per_second'] == row['batch'] / row['median']
        assert row['low'] <= row['speedup'] <= row['high']
        assert row['best'] and row['difference'] == 0
        assert row['shape'] == [32, 32] and 'toolbox' not in row
    assert rows[1]['peak_memory'] > rows[0]['peak_memory'] > 0
    assert results == json.loads(json.dumps(results))


def test_best_engines_are_compared(tiny, monkeypatch):
    times = {'0': [4.0, 4.0], '1': [2.0, 2.0], '2': [1.0, 1.0], '3': [3.0, 3.0]}
    monkeypatch.setattr(latency, 'interleave', lambda *args, **kwargs: times)
    other = Engine('other', ENGINES['eager'].prepare)
    configs = [str(tiny / 'det.py'), str(tiny / 'seg.py')]
    results = run_latency(configs, LatencyOptions(engines=('eager', other), **QUICK))
    assert [row['speedup'] for row in results['rows']] == [1, 2, 4, 4 / 3]
    assert [row['best'] for row in results['rows']] == [False, True, True, False]
    assert [(row['config'], row['engine'], row['speedup']) for row in results['best']] == [
        (configs[0], 'other', 1),
        (configs[1], 'eager', 2),
    ]
    table = latency_table(results)
    assert '| det | **other** | 1 | 32 x 32 | 2000.00 |' in table
    assert (
        '| seg | eager | 1 | 32 x 32 | 1000.00 | 1000.00 | 1.0 | 2 ('
        in (table.split('Each in its best engine')[1])
    )


def test_configs_of_one_file_name_are_two(tiny, tmp_path):
    other = tmp_path / 'det.py'
    other.write_text((tiny / 'det.py').read_text())
    results = run_latency([str(tiny / 'det.py'), str(other)], LatencyOptions(**QUICK))
    assert len(results['best']) == 2


def test_engine_that_fails_is_a_row_with_a_reason(tiny):
    def broken(network, images):
        raise RuntimeError('cannot export this')

    results = run_latency(
        [str(tiny / 'det.py')], LatencyOptions(engines=(Engine('x', broken), 'eager'), **QUICK)
    )
    failed, timed = results['rows']
    assert failed['reason'] == 'RuntimeError: cannot export this'
    assert 'median' not in failed and timed['speedup'] == 1
    table = latency_table(results)
    assert '- det, x, batch 1: RuntimeError: cannot export' in table
    assert len(latency_figure(results).axes[0].patches) == 1


def test_all_engines_may_fail(tiny):
    def broken(network, images):
        raise RuntimeError('no')

    options = LatencyOptions(engines=(Engine('x', broken),), **QUICK)
    results = run_latency([str(tiny / 'det.py')], options)
    assert results['best'] == [] and 'Not timed' in latency_table(results)


@pytest.mark.parametrize('channels_last', [False, True])
def test_layout_is_the_one_asked_for(tiny, monkeypatch, channels_last):
    seen = []
    start = latency.start_engine

    def spy(engine, network, images):
        convs = [p for p in network.parameters() if p.dim() == 4]
        seen.append(
            [
                x.is_contiguous(memory_format=torch.channels_last)
                for x in (images, max(convs, key=torch.numel))
            ]
        )
        return start(engine, network, images)

    monkeypatch.setattr(latency, 'start_engine', spy)
    results = run_latency(
        [str(tiny / 'det.py')], LatencyOptions(channels_last=channels_last, **QUICK)
    )
    assert seen == [[channels_last] * 2]
    assert ('float32, channels last.' in latency_table(results)) is channels_last


def test_threads_are_put_back(tiny, monkeypatch):
    seen = []

    def fake(calls, *args, **kwargs):
        seen.append(torch.get_num_threads())
        return {name: [1.0, 1.0] for name in calls}

    monkeypatch.setattr(latency, 'interleave', fake)
    results = run_latency([str(tiny / 'det.py')], LatencyOptions(threads=2, **QUICK))
    assert seen == [2] and results['measured']['threads'] == 2
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(dtype='int8'), '--dtype takes one of float32, '),
        (dict(form='fused'), '--form takes one of deploy, '),
        (dict(batches=(1, 0)), '--batch must be at least 1, got 1 0'),
        (dict(rounds=0), '--rounds must be at least 1, got 0'),
        (dict(threads=0), '--threads must be at least 1, got 0'),
        (dict(size=(32, -1)), '--shape must be at least 1, got 32 -1'),
        (dict(cuda_graph=True), '--cuda-graph needs --device cuda'),
    ],
)
def test_wrong_option_is_named(options, message):
    with pytest.raises(UserError, match=message):
        LatencyOptions(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_absent_gpu_is_an_error():
    with pytest.raises(UserError, match='--device cuda: torch finds no GPU'):
        LatencyOptions(device='cuda')


def test_size_that_does_not_fit_is_the_users_mistake(classifier):
    with pytest.raises(UserError, match='images alone, tried at 8 x 8 pixels'):
        run_latency([classifier], LatencyOptions(size=(8, 8), rounds=1))


def test_two_stage_detectors_are_refused():
    config = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
    with pytest.raises(UserError, match=r'two-stage detector \(FasterRCNN\)'):
        run_latency([config], LatencyOptions(size=(32, 48), rounds=1))


def test_outputs_may_be_nested():

    class Nested(torch.nn.Module):
        def forward(self, images, mode):
            assert mode == 'tensor'
            return [images, (images + 1, dict(a=images + 2))]

    images = torch.zeros(1, 3, 2, 2)
    assert [float(x.max()) for x in Network(Nested())(images)] == [0, 1, 2]


@pytest.mark.slow
def test_onnxruntime_runs_a_detector(tiny):
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(name)
    results = run_latency(
        [str(tiny / 'picodet.py')],
        LatencyOptions(engines=('eager', 'onnxruntime'), size=(64, 64), rounds=2),
    )
    row = results['rows'][1]
    assert row['difference'] < 1e-4 and row['peak_memory'] is None
    assert 'not known' in latency_table(results)


def test_a_segmentors_whole_test_holds_more_than_its_network(tiny, classifier):
    results = run_latency(
        [str(tiny / 'seg.py'), classifier], LatencyOptions(size=(64, 64), rounds=1)
    )
    seg, other = results['rows']
    # Logits of 4 classes at the resolution of the image are among it.
    assert seg['test_memory'] > max(4 * 4 * 64 * 64, seg['peak_memory'])
    assert other['test_memory'] is None
    tested = f'seg {seg["test_memory"] / 1e6:.1f} MB'
    assert 'whole test of one image' in latency_table(results)
    assert tested in latency_table(results)
