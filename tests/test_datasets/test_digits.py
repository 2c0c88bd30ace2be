"""The bundled digits, split the same way for everybody."""

from collections import Counter

import numpy as np
import pytest
from mmengine.registry import DATASETS, DefaultScope
from sklearn.datasets import load_digits

from mmanchor.datasets.digits import Digits


def test_both_splits_together_are_all_digits_once():
    images, labels = load_digits(return_X_y=True)
    train, test = Digits('train', img_size=8), Digits('test', img_size=8)
    assert (len(train), len(test)) == (1347, 450)
    found = [each for data in (train, test) for each in data]
    assert [each['gt_label'] for each in found] == labels.tolist()
    shades = np.stack([each['img'][..., 0] for each in found]).reshape(-1, 64)
    assert np.abs(shades / 255 * 16 - images).max() < 0.04


def test_every_class_is_in_both_splits():
    for split in ('train', 'test'):
        counts = Counter(Digits(split).get_gt_labels().tolist())
        assert set(counts) == set(range(10)) and min(counts.values()) >= 40


def test_images_are_gray_and_of_the_size_asked_for():
    sample = Digits('test', img_size=28)[3]
    assert sample['img'].shape == (28, 28, 3)
    assert sample['img'].dtype == np.uint8
    assert (sample['img'] == sample['img'][..., :1]).all()
    assert sample['img'].max() > 200


def test_a_config_finds_it():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = DATASETS.build(
            dict(
                type='mmanchor.Digits', split='test', pipeline=[dict(type='mmpretrain.PackInputs')]
            )
        )
    assert data[0]['inputs'].shape == (3, 32, 32)
    assert tuple('0123456789') == data.CLASSES


def test_other_splits_are_refused():
    with pytest.raises(ValueError, match="'train' or 'test', got 'val'"):
        Digits('val')


@pytest.mark.parametrize('size', [0, 32.0, '32'])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match='img_size must be a whole number'):
        Digits('test', img_size=size)
