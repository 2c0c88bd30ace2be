"""`train` and `test` run the checks before anything is built."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mmanchor.data_check import preflight
from mmanchor.data_check.preflight import check_before_testing, check_before_training
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError


@pytest.fixture
def data(tiny, tmp_path):
    shutil.copytree(tiny / 'data', tmp_path / 'data')
    return tmp_path / 'data'


def config(tiny, data, name='seg'):
    cfg = load_config(tiny / f'{name}.py')
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(data)
    return cfg


def test_sound_data_pass_and_files_will_be_named(tiny, data):
    cfg = config(tiny, data)
    assert not check_before_training(cfg)
    assert not check_before_training(cfg)
    assert cfg.custom_hooks == [dict(type='mmanchor.SkippedImagesHook')]


def test_transforms_stand_somewhere_between_data_set_and_loader(tiny, data):
    cfg = config(tiny, data)
    leaf = cfg.train_dataloader.dataset
    steps, leaf.pipeline = leaf.pipeline, []
    cfg.test_dataloader.dataset.pipeline = []
    message = r'dataset\.pipeline of \S+seg\.py must be a list of transforms.*BaseSegDataset'
    with pytest.raises(UserError, match=f'^train_dataloader.{message}'):
        check_before_training(cfg)
    with pytest.raises(UserError, match=f'^test_dataloader.{message}'):
        check_before_testing(cfg)
    # A wrapper may have them all.
    cfg.train_dataloader.dataset = dict(type='MultiImageMixDataset', dataset=leaf, pipeline=steps)
    check_before_training(cfg)


def test_a_few_bad_files_are_warned_of(tiny, data):
    path = data / 'images/training/train_002.jpg'
    path.write_bytes(path.read_bytes()[:-60])
    (text,) = check_before_training(config(tiny, data))
    assert text.startswith(f'train data ({data}/images/training): 1 images that cannot be read')
    assert 'train_002.jpg is a JPEG that ends too early' in text


def test_one_bad_file_stops_what_would_be_scored(tiny, data):
    Image.new('L', (9, 32)).save(data / 'annotations/validation/valid_001.png')
    for check in (check_before_training, check_before_testing):
        with pytest.raises(UserError, match=r'1 masks of another size .*valid_001: image 32 x 32'):
            check(config(tiny, data))


def test_many_bad_files_stop_the_training(tiny, data):
    for path in (data / 'annotations/training').iterdir():
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(path)
    with pytest.raises(UserError, match=r'6 masks that do not hold .*train_000 has 3 channels'):
        check_before_training(config(tiny, data))


@pytest.mark.parametrize(
    'launcher, name, warns',
    [
        ('pytorch', 'RANK', False),
        ('slurm', 'SLURM_PROCID', False),
        ('mpi', 'OMPI_COMM_WORLD_RANK', False),
        # What another program left in the environment silences nothing.
        ('none', 'RANK', True),
    ],
)
def test_rank_zero_alone_warns(tiny, data, monkeypatch, launcher, name, warns):
    said = []
    monkeypatch.setattr(preflight, 'print_log', lambda text, **_: said.append(text))
    monkeypatch.setenv(name, '1')
    cfg = config(tiny, data)
    cfg.launcher = launcher
    preflight.log_warnings(cfg, ['mind the gap'])
    assert bool(said) == warns


def test_annotations_that_no_evaluation_stands_stop_the_training(tiny, data):
    path = data / 'annotations' / 'instances_train.json'
    content = json.loads(path.read_text())
    for each in content['annotations']:
        each.pop('iscrowd')
    path.write_text(json.dumps(content))
    cfg = config(tiny, data, 'det')
    for check in (check_before_training, check_before_testing):
        with pytest.raises(UserError, match=r'6 annotations whose iscrowd .*write "iscrowd": 0'):
            check(cfg)
    without_file = config(tiny, data, 'det')
    without_file.val_evaluator.pop('ann_file')
    check_before_training(without_file)
    cfg.val_cfg = None
    check_before_training(cfg)


def test_test_data_are_checked_before_scoring(tiny, data):
    for path in (data / 'annotations/validation').iterdir():
        Image.fromarray(np.full((32, 32), 60, np.uint8)).save(path)
    with pytest.raises(UserError, match=r'test data .*2 masks with labels beyond num_classes=4'):
        check_before_testing(config(tiny, data))
