"""The demo, at a size that takes seconds."""

import json

import cv2
import pytest

from mmanchor.cli.main import main
from mmanchor.demo.segmentation import run_segmentation_demo

TINY = {
    'num_train': 4,
    'num_val': 8,
    'train_dataloader.batch_size': 2,
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'default_hooks.checkpoint.interval': 1,
}


@pytest.mark.slow
def test_it_trains_scores_draws_and_goes_on(tmp_path):
    lines = []
    options = dict(TINY, **{'train_cfg.max_iters': 1})
    args = (tmp_path / 'data', tmp_path / 'work')
    first = run_segmentation_demo(*args, options, lines.append)
    assert [line[:3] for line in lines if line[0] != ' '] == ['1/5', '2/5', '3/5', '4/5', '5/5']
    assert first.files['checkpoint'].endswith('iter_1.pth')

    # The same folders with more to train: it goes on from iteration 1.
    second = run_segmentation_demo(*args, TINY, lines.append)
    assert second.files['checkpoint'].endswith('iter_2.pth')
    assert second.untrained == first.untrained
    log = '\n'.join(path.read_text() for path in (tmp_path / 'work').rglob('*.log'))
    assert 'resumed epoch' in log or 'resuming from' in log

    assert 0 <= second.metrics['mIoU'] <= 100
    assert second.complexity['deploy'].params < second.complexity['training'].params
    grid = cv2.imread(second.files['predictions'])
    assert grid.shape[1] > 6 * 256 and grid.shape[0] > 4 * 256
    kept = json.loads((tmp_path / 'work' / 'demo.json').read_text())
    assert kept['metrics'] == second.metrics


def test_a_work_folder_that_cannot_be_made_is_said(tmp_path, capsys):
    blocked = tmp_path / 'file'
    blocked.write_text('')
    status = main(['demo', 'segmentation', '--work-dir', str(blocked)])
    assert status == 1
    assert '--work-dir' in capsys.readouterr().err
