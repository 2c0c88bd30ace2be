"""Segmentation and classification skip, name and refuse unreadable files."""

import pickle
import shutil

import numpy as np
import pytest
from mmengine.dataset import ConcatDataset
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image
from tiny_project import CLASSES, make_folders

from mmanchor.datasets import UnreadableImageError
from mmanchor.datasets.reading import GuardedReading, guard_reading

SEG = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]


@pytest.fixture
def build(tiny, tmp_path):
    """Build a guarded data set of masks, one of them as given."""

    def run(pixels=None, *, content=None, image=None, **options):
        data = tmp_path / 'data'
        shutil.copytree(tiny / 'data', data)
        path = data / 'annotations/training/train_001.png'
        if pixels is not None:
            Image.fromarray(pixels).save(path)
        if content is not None:
            path.write_bytes(content)
        if image is not None:
            (data / 'images/training/train_001.jpg').write_bytes(image)
        cfg = dict(
            type='BaseSegDataset',
            data_root=str(data),
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
            metainfo=dict(classes=CLASSES),
            reduce_zero_label=True,
            pipeline=SEG,
        )
        with DefaultScope.overwrite_default_scope('mmseg'):
            dataset = DATASETS.build({**cfg, **options})
        guard_reading(dataset)
        return dataset

    return run


BAD_MASKS = [
    (np.ones((32, 32, 3), np.uint8), r'has 3 channels \(mode RGB\)'),
    (np.ones((20, 32), np.uint8), r'is 32 x 20 pixels, but its image is 32 x 32'),
    (np.full((32, 32), 60, np.uint8), r'has the labels 59, but 4 classes are labels 0 to 3'),
    (np.full((32, 32), 769, np.uint16), r'has 16 bits and labels up to 769; .* 769 would become 1'),
]


@pytest.mark.parametrize('pixels, message', BAD_MASKS)
def test_a_bad_mask_is_skipped_in_training_and_named_in_a_test(build, pixels, message):
    dataset = build(pixels)
    sample = dataset[1]['data_samples']
    assert sample.skipped_files == (dataset.get_data_info(1)['img_path'],)
    dataset.test_mode = True
    with pytest.raises(UnreadableImageError, match=f'train_001.png {message}'):
        dataset[1]


@pytest.mark.parametrize('content', [b'', b'no mask'])
def test_a_mask_that_is_no_image(build, content):
    dataset = build(content=content)
    assert 'skipped_files' in dataset[1]['data_samples']
    dataset.test_mode = True
    with pytest.raises(UnreadableImageError, match=r'train_001.png (is empty|cannot be decoded)'):
        dataset[1]


def test_a_truncated_image_is_skipped(build, tiny):
    whole = (tiny / 'data/images/training/train_001.jpg').read_bytes()
    dataset = build(image=whole[:-50])
    assert 'skipped_files' in dataset[1]['data_samples']
    assert 'skipped_files' not in dataset[0]['data_samples']


@pytest.mark.parametrize(
    'pixels, options',
    [
        (np.full((32, 32), 255, np.uint8), {}),
        (np.full((32, 32), 4, np.uint16), {}),
        (np.full((32, 32), 9, np.uint8), dict(reduce_zero_label=False, ignore_index=9)),
    ],
)
def test_masks_that_can_be_used_are_used(build, pixels, options):
    assert 'skipped_files' not in build(pixels, **options)[1]['data_samples']


def test_data_sets_inside_wrappers_are_guarded_once(build):
    dataset = build()
    guard = dataset.prepare_data
    guard_reading(ConcatDataset([dataset, dataset]))
    assert isinstance(guard, GuardedReading) and dataset.prepare_data is guard


def test_a_guarded_data_set_can_be_sent_to_a_worker(build):
    copy = pickle.loads(pickle.dumps(build(BAD_MASKS[0][0])))
    assert copy.prepare_data.dataset is copy
    assert 'skipped_files' in copy[1]['data_samples']


@pytest.mark.parametrize('test_mode', [False, True])
def test_the_run_decides_whether_to_skip(build, test_mode):
    dataset = build(BAD_MASKS[0][0], test_mode=test_mode)
    guard_reading(dataset, skip=False)
    with pytest.raises(UnreadableImageError):
        dataset[1]
    guard_reading(dataset, skip=True)
    dataset.test_mode = False
    assert 'skipped_files' in dataset[1]['data_samples']


def test_classification_skips_a_truncated_image(tmp_path):
    root = make_folders(tmp_path)
    path = root / 'train' / 'red' / '0.JPEG'
    path.write_bytes(path.read_bytes()[:-40])
    cfg = dict(type='CustomDataset', data_prefix=str(root / 'train'))
    cfg['pipeline'] = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(cfg)
    guard_reading(dataset)
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    assert dataset[paths.index(str(path))]['data_samples'].skipped_files == (str(path),)
    dataset.test_mode = True
    with pytest.raises(UnreadableImageError, match=r'0.JPEG is a JPEG that ends too early'):
        dataset[paths.index(str(path))]


def test_other_errors_stay_what_they_are(build):
    dataset = build()
    dataset.pipeline.transforms.append(lambda results: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dataset[0]
