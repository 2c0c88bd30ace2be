import shutil

import pytest
from mmengine.config import Config

from mmanchor.data_check.sources import data_sources, require_data
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError


def wrapped(dataset, scope='mmseg'):
    return Config(dict(default_scope=scope, train_dataloader=dict(dataset=dataset)))


def test_wrappers_are_taken_off():
    leaf = dict(type='ADE20KDataset', data_root='a', pipeline=[dict(type='A')])
    other = dict(leaf, data_root='b')
    cfg = wrapped(
        dict(
            type='MultiImageMixDataset',
            pipeline=[dict(type='B')],
            dataset=dict(
                type='ConcatDataset',
                datasets=[dict(type='RepeatDataset', times=2, dataset=leaf), other],
            ),
        )
    )
    first, second = data_sources(cfg, ['train', 'val'])
    assert first.get('data_root') == 'a' and second.get('data_root') == 'b'
    assert [step['type'] for step in first.pipeline] == ['A', 'B']
    assert (first.split, first.task) == ('train', 'segmentation')


def test_defaults_come_from_the_class():
    (source,) = data_sources(wrapped(dict(type='ADE20KDataset')))
    assert source.get('reduce_zero_label') is True
    assert source.get('seg_map_suffix') == '.png'
    assert source.get('ignore_index') == 255, 'from the parent class'
    assert len(source.classes) == 150
    (source,) = data_sources(wrapped(dict(type='ADE20KDataset', img_suffix='.jpeg')))
    assert source.get('img_suffix') == '.jpeg'


def test_paths_are_joined_as_the_data_set_joins_them():
    (source,) = data_sources(
        wrapped(
            dict(
                type='CocoDataset',
                data_root='root',
                ann_file='a.json',
                data_prefix=dict(img='/absolute'),
            ),
            'mmdet',
        )
    )
    assert source.ann_file == 'root/a.json' and source.task == 'detection'
    assert source.folder('img') == '/absolute'


def test_unknown_data_set():
    with pytest.raises(UserError, match=r"train_.*'NoSuchData' .* mmseg"):
        data_sources(wrapped(dict(type='NoSuchData')))


def test_complete_data_passes(tiny):
    require_data(load_config(tiny / 'seg.py'), ['train', 'val', 'test'])
    require_data(load_config(tiny / 'det.py'), ['train', 'val', 'test'])


def test_missing_ade20k_says_where_what_and_whence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = wrapped(
        dict(
            type='ADE20KDataset',
            data_root='data/ade/ADEChallengeData2016',
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        )
    )
    with pytest.raises(UserError) as caught:
        require_data(cfg, ['train'])
    message = str(caught.value)
    for part in (
        'data/ade/ADEChallengeData2016/images/training/NAME.jpg',
        'annotations/training/NAME.png',
        str(tmp_path),
        'ADEChallengeData2016.zip',
        'mmanchor make-demo-data',
    ):
        assert part in message


@pytest.mark.parametrize('own_classes', [False, True])
def test_missing_coco_is_offered_unless_the_classes_are_others(own_classes):
    dataset = dict(
        type='CocoDataset',
        data_root='nowhere',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
    )
    if own_classes:
        dataset['metainfo'] = dict(classes=('screw',))
    with pytest.raises(UserError) as caught:
        require_data(wrapped(dataset, 'mmdet'), ['train'])
    message = str(caught.value)
    assert 'nowhere/annotations/instances_val2017.json' in message
    assert ('cocodataset.org' in message) is not own_classes
    assert '--data-root FOLDER' in message


def test_folder_without_images(tiny, tmp_path):
    cfg = load_config(tiny / 'seg.py')
    data = tmp_path / 'data'
    shutil.copytree(tiny / 'data', data)
    for path in (data / 'images/validation').iterdir():
        path.rename(path.with_suffix('.jpeg'))
    cfg.val_dataloader.dataset.data_root = str(data)
    with pytest.raises(UserError, match=r'val_.*has no image \*.jpg'):
        require_data(cfg, ['val'])


def test_remote_data_is_not_looked_for():
    require_data(wrapped(dict(type='ADE20KDataset', data_root='s3://bucket')), ['train'])


def test_classification_says_where_imagenet_should_be():
    dataset = dict(type='ImageNet', data_root='nowhere', split='val')
    with pytest.raises(UserError) as caught:
        require_data(wrapped(dataset, 'mmpretrain'), ['train'])
    assert 'nowhere/val' in str(caught.value)
    assert 'ILSVRC2012' in str(caught.value)


def test_data_that_fetch_themselves_are_not_looked_for():
    dataset = dict(type='CIFAR10', data_root='nowhere')
    require_data(wrapped(dataset, 'mmpretrain'), ['train'])


@pytest.mark.parametrize('name', ['LVISV1Dataset', 'CocoPanopticDataset'])
def test_formats_of_their_own_are_not_read_as_coco(name):
    (source,) = data_sources(wrapped(dict(type=name, data_root='nowhere'), 'mmdet'))
    assert source.task == 'other'
