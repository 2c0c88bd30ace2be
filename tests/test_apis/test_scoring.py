import json

import numpy as np
import pytest
from mmengine.fileio import load
from PIL import Image

from mmanchor.apis.test import test_model as score
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError

pytestmark = pytest.mark.usefixtures('plain_configs')


def config(tiny, tmp_path, name='seg', **options):
    options = {key.replace('__', '.'): v for key, v in options.items()}
    options['log_level'] = 'ERROR'
    return load_config(tiny / f'{name}.py', options, tmp_path / 'work')


def test_scores_are_returned_and_written(tiny, tmp_path, seg_checkpoint):
    metrics = score(config(tiny, tmp_path), seg_checkpoint)
    written = json.loads((tmp_path / 'work/test_metrics.json').read_text())
    assert metrics.keys() == {'aAcc', 'mIoU', 'mAcc'}
    assert written['metrics'] == metrics
    assert written['checkpoint'] == str(seg_checkpoint)


def test_masks_and_pictures_are_kept(tiny, tmp_path, seg_checkpoint):
    # Scoring and painting need no training data.
    options = dict(visualizer__name='painted', train_dataloader__dataset__data_root='gone')
    score(
        config(tiny, tmp_path, **options),
        seg_checkpoint,
        out=tmp_path / 'masks',
        show_dir=tmp_path / 'shown',
    )
    names = sorted(path.name for path in (tmp_path / 'masks').iterdir())
    assert names == ['valid_000.png', 'valid_001.png']
    mask = np.asarray(Image.open(tmp_path / 'masks/valid_000.png'))
    # As in the data: reduce_zero_label counts classes from 1.
    assert mask.shape == (32, 32) and mask.min() >= 1 and mask.max() <= 4
    assert len(list((tmp_path / 'shown').rglob('*.png'))) == 2


def test_boxes_are_kept(tiny, tmp_path, det_checkpoint):
    cfg = config(tiny, tmp_path, 'det')
    metrics = score(
        cfg, det_checkpoint, out=tmp_path / 'new' / 'boxes.pkl', show_dir=tmp_path / 'shown'
    )
    assert 'coco/bbox_mAP' in metrics
    assert len(load(tmp_path / 'new' / 'boxes.pkl')) == 6
    assert len(list((tmp_path / 'shown').glob('*.jpg'))) == 6


def test_views_are_averaged(tiny, tmp_path, seg_checkpoint):
    cfg = config(tiny, tmp_path)
    score(cfg, seg_checkpoint, tta=True)
    assert cfg.model.type == 'SegTTAModel'
    assert cfg.test_dataloader.dataset.pipeline == cfg.tta_pipeline


@pytest.mark.parametrize(
    'name, options, flags, message',
    [
        ('seg', dict(tta_model=None), dict(tta=True), '--tta needs tta_model'),
        ('seg', dict(test_evaluator=None), {}, 'has no test_evaluator'),
        ('seg', dict(test_evaluator=dict(type='X')), dict(out='o'), 'IoUMetric'),
        ('det', {}, dict(out='boxes.json'), '--out must be a .pkl .*boxes.json'),
        ('det', dict(test_evaluator=dict(type='X')), dict(out='a.bbox.json'), 'CocoMetric'),
        ('seg', dict(default_hooks__visualization=None), dict(show=True), 'SegVisualizationHook'),
        ('seg', dict(test_dataloader__dataset__data_root='gone'), {}, 'gone/images/validation'),
    ],
)
def test_mistakes_stop_before_testing(
    tiny, tmp_path, seg_checkpoint, monkeypatch, name, options, flags, message
):
    monkeypatch.chdir(tmp_path)
    cfg = config(tiny, tmp_path, name, **options)
    with pytest.raises(UserError, match=message):
        score(cfg, seg_checkpoint, **flags)


def test_random_weights_are_not_scored(tiny, tmp_path, seg_checkpoint):
    cfg = config(tiny, tmp_path, model__backbone__embed_dims=16)
    with pytest.raises(UserError, match='s.pth.* have another shape'):
        score(cfg, seg_checkpoint)
    with pytest.raises(UserError, match='CHECKPOINT: .*gone.pth'):
        score(config(tiny, tmp_path), tmp_path / 'gone.pth')
