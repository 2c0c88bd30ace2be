"""The detection demo, at a size that takes seconds."""

import cv2
import pytest

from mmanchor.cli.main import main
from mmanchor.demo.detection import METRICS, run_detection_demo
from mmanchor.utils.files import read_json

TINY = {
    'num_train': 4,
    'num_val': 8,
    'train_dataloader.batch_size': 2,
    'train_cfg.max_epochs': 2,
    'train_cfg.val_interval': 2,
    'model.backbone.scale': 0.25,
    'model.backbone.ratios': [0.25] * 13,
    'model.neck.in_channels': [32, 64, 128],
}


@pytest.mark.slow
def test_it_trains_scores_draws_and_goes_on(tmp_path):
    lines = []
    options = dict(TINY, **{'train_cfg.max_epochs': 1})
    args = (tmp_path / 'data', tmp_path / 'work')
    first = run_detection_demo(*args, options, lines.append)
    assert [line[:3] for line in lines] == ['1/4', '2/4', '3/4', '4/4']
    assert list(first.detectors) == ['AnchorESNet', 'ESNet']

    # The same folders with more to train: it goes on from epoch 1.
    second = run_detection_demo(*args, TINY, lines.append)
    for name, detector in second.detectors.items():
        before = first.detectors[name]
        assert before.checkpoint.endswith('epoch_1.pth')
        assert detector.checkpoint.endswith('epoch_2.pth')
        assert detector.minutes > before.minutes
        assert set(detector.metrics) == set(METRICS)
        assert all(score is None or 0 <= score <= 1 for score in detector.metrics.values())
    anchors, plain = second.detectors.values()
    assert anchors.cost() == anchors.complexity['deploy']
    assert anchors.cost().params > plain.cost().params
    assert list(plain.complexity) == ['training']

    grid = cv2.imread(second.files['detections'])
    assert grid.shape[1] > 6 * 320 and grid.shape[0] > 3 * 320
    kept = read_json(tmp_path / 'work' / 'demo.json')
    assert kept['detectors']['ESNet']['metrics'] == plain.metrics


@pytest.mark.slow
def test_the_command_prints_one_table(tmp_path, capsys):
    options = [f'{key}={value}' for key, value in TINY.items()]
    status = main(
        [
            'demo',
            'detection',
            '--data-root',
            str(tmp_path / 'data'),
            '--work-dir',
            str(tmp_path / 'work'),
            '--cfg-options',
            *options,
        ]
    )
    assert status == 0
    out = capsys.readouterr().out
    for word in ('AnchorESNet', 'ESNet', 'parameters', 'GMACs', *METRICS):
        assert word in out
