import json

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.fileio import load
from PIL import Image

import mmanchor
from mmanchor.apis.test import _use_tta
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


def test_views_reach_every_part_of_a_concatenation():
    inner = [dict(type='A', pipeline=[1]), dict(type='Wrap', dataset=dict(type='B', pipeline=[2]))]
    cfg = Config(
        dict(
            test_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=inner)),
            tta_model=dict(type='TTA'),
            tta_pipeline=[3],
            model=dict(type='M'),
        )
    )
    _use_tta(cfg)
    first, second = cfg.test_dataloader.dataset.datasets
    assert first.pipeline == second.dataset.pipeline == [3]
    assert 'pipeline' not in cfg.test_dataloader.dataset


def test_masks_and_images_are_kept(tiny, tmp_path, seg_checkpoint):
    # Scoring and drawing need no training data.
    options = dict(visualizer__name='drawn', train_dataloader__dataset__data_root='gone')
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


def test_showing_shows_every_mask_and_writes_it_too(tiny, tmp_path, seg_checkpoint, monkeypatch):
    from mmseg.visualization import SegLocalVisualizer

    shown = []
    monkeypatch.setattr(
        SegLocalVisualizer, 'show', lambda self, image, win_name, wait_time: shown.append(win_name)
    )
    cfg = config(tiny, tmp_path)
    score(cfg, seg_checkpoint, show=True, show_dir=tmp_path / 'shown', wait_time=0)
    assert shown == ['test_valid_000.jpg', 'test_valid_001.jpg']
    names = sorted(path.name for path in (tmp_path / 'shown').iterdir())
    assert names == ['valid_000.png', 'valid_001.png']


@pytest.mark.parametrize('seconds', [-1, float('nan')])
def test_a_window_that_would_stay_for_ever_is_refused(tiny, tmp_path, seg_checkpoint, seconds):
    with pytest.raises(UserError, match=f'--wait-time must be 0 .* got {seconds}'):
        score(config(tiny, tmp_path), seg_checkpoint, show=True, wait_time=seconds)


@pytest.mark.parametrize('reduce_zero_label, said', [(True, 'from 1 as in the'), (False, 'from 0')])
def test_what_masks_count_from_is_said(tiny, tmp_path, seg_checkpoint, reduce_zero_label, said):
    from mmanchor.apis.test import written_predictions

    options = dict(test_dataloader__dataset__reduce_zero_label=reduce_zero_label)
    cfg = config(tiny, tmp_path, test_evaluator__format_only=True, **options)
    assert score(cfg, seg_checkpoint, out=tmp_path / 'masks') == {}
    [sentence] = written_predictions(cfg)
    assert f'predictions are in {tmp_path}/masks, class indices {said}' in sentence
    assert 'format_only: nothing is scored' in sentence
    mask = np.asarray(Image.open(tmp_path / 'masks/valid_000.png'))
    predicted = mmanchor.load(tiny / 'seg.py', seg_checkpoint, 'cpu').predict(
        tiny / 'data/images/validation/valid_000.jpg'
    )[0]
    assert (mask == predicted.mask + reduce_zero_label).all()


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
        ('seg', dict(model=None), {}, 'has no model'),
        ('seg', dict(model__test_cfg__mode='slide'), {}, 'needs model.test_cfg.crop_size'),
        (
            'seg',
            dict(test_dataloader__batch_size=0),
            {},
            'batch_size of .* must be a whole number above 0, got 0',
        ),
        ('seg', dict(test_evaluator__type='NoMetric'), {}, 'NoMetric is not in the'),
        ('det', dict(test_evaluator__ann_file='/no.json'), {}, 'cannot be built: FileNotFound'),
    ],
)
def test_mistakes_stop_before_testing(
    tiny, tmp_path, seg_checkpoint, monkeypatch, name, options, flags, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        score(config(tiny, tmp_path, name, **options), seg_checkpoint, **flags)


@pytest.mark.parametrize('key', ['test_dataloader.dataset.pipeline', 'test_dataloader.dataset'])
def test_what_is_built_late_is_one_message_too(tiny, tmp_path, seg_checkpoint, key):
    cfg = config(tiny, tmp_path)
    if key.endswith('pipeline'):
        cfg.test_dataloader.dataset.pipeline.insert(1, dict(type='NoTransform'))
        message = 'NoTransform is not in the'
    else:
        cfg.test_dataloader.dataset.color = 'red'
        message = "unexpected keyword argument 'color'"
    with pytest.raises(UserError, match=f'cannot be built: .*{message}'):
        score(cfg, seg_checkpoint)


def test_the_classes_of_checkpoint_and_data_agree_in_order(tiny, tmp_path, seg_checkpoint):
    for classes, message in (
        (('red', 'ground', 'green', 'blue'), "label 0 is 'ground' in the checkpoint, and 'red'"),
        (('Ground', 'RED', 'green', 'blue'), None),
    ):
        cfg = config(tiny, tmp_path, test_dataloader__dataset__metainfo__classes=classes)
        if message is None:
            assert 'mIoU' in score(cfg, seg_checkpoint)
            continue
        with pytest.raises(UserError, match=message):
            score(cfg, seg_checkpoint)


def test_a_pointer_and_a_word_choose_the_checkpoint(tiny, tmp_path, seg_checkpoint):
    work = tmp_path / 'work'
    work.mkdir()
    (work / 'iter_2.pth').write_bytes(seg_checkpoint.read_bytes())
    (work / 'last_checkpoint').write_text(str(work / 'iter_2.pth'))
    expected = score(config(tiny, tmp_path), seg_checkpoint)
    for which in ('latest', work / 'last_checkpoint'):
        assert score(config(tiny, tmp_path), which) == expected
    with pytest.raises(UserError, match=r"CHECKPOINT 'best': .* has no best_\*.pth"):
        score(config(tiny, tmp_path), 'best')


def test_random_weights_are_not_scored(tiny, tmp_path, seg_checkpoint):
    cfg = config(tiny, tmp_path, model__backbone__embed_dims=16)
    with pytest.raises(UserError, match=r's.pth.* have another shape'):
        score(cfg, seg_checkpoint)
    with pytest.raises(UserError, match=r'CHECKPOINT: .*gone.pth'):
        score(config(tiny, tmp_path), tmp_path / 'gone.pth')
