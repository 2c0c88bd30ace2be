"""Folders of classes: names, not numbers, are compared."""

import pytest
from tiny_project import CLASSIFICATION, make_folders, write_config

from mmanchor.data_check.check import check_data
from mmanchor.utils.config import load_config


@pytest.fixture
def spoil(tmp_path):
    """Check after renaming folders, ``{'val/red': 'val/wasp'}``."""

    def run(renamed, classes=None):
        data = make_folders(tmp_path / 'data', per_class=1)
        for old, new in renamed.items():
            (data / old).rename(data / new)
        cfg = load_config(write_config(tmp_path, CLASSIFICATION, data))
        for split in ('train', 'val', 'test'):
            dataset = cfg[f'{split}_dataloader'].dataset
            dataset.type = 'CustomDataset'
            dataset.data_prefix = dataset.pop('split')
            dataset.metainfo = dict(classes=classes) if classes else None
        reports = check_data(cfg, ['train', 'val'])
        return {problem.code: problem for report in reports for problem in report.problems}

    return run


def test_equal_folders_are_fine(spoil):
    assert not spoil({})


def test_splits_with_other_folders_number_their_labels_differently(spoil):
    problem = spoil({'val/red': 'val/wasp'})['folders_of_splits']
    assert problem.fatal
    assert 'lacks red and has in addition wasp' in problem.message


def test_folders_are_compared_with_the_classes_of_the_config(spoil):
    problem = spoil({'val/red': 'val/Red', 'train/red': 'train/Red'}, ('blue', 'green', 'red'))
    assert problem['folder_names'].fatal
    assert problem['folder_names'].examples == ["red (near 'Red')"]


@pytest.mark.parametrize('classes', [('sky', 'grass', 'fire'), ('Blue', 'green', 'red')])
def test_other_names_in_the_same_order_are_fine(spoil, classes):
    assert not spoil({}, classes)
