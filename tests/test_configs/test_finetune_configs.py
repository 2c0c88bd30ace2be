"""The configs for one's own data: a copy with edited settings trains."""

import re

import pytest
import tiny_project
from config_files import ROOT

from mmanchor.apis import check_data, train_model
from mmanchor.utils.config import load_config

pytestmark = pytest.mark.usefixtures('plain_configs')
IN_PROCESS = {
    f'{split}_dataloader.{key}': value
    for split in ('train', 'val', 'test')
    for key, value in (('num_workers', 0), ('persistent_workers', False))
}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return tiny_project.make_data(tmp_path_factory.mktemp('data'), num_train=2, num_val=2)


def edited_copy(name, folder, **settings):
    """Copy the config to ``folder`` and edit its settings, nothing else."""
    (path,) = (ROOT / 'finetune').glob(f'{name}_*.py')
    text = path.read_text()
    for key, value in settings.items():
        text, count = re.subn(rf'^{key} = [^#\n]*', f'{key} = {value!r}  ', text, flags=re.M)
        assert count == 1, key
    copy = folder / 'mine.py'
    copy.write_text(text)
    return copy


@pytest.fixture
def detector(data, tmp_path):
    config = edited_copy(
        'picodet',
        tmp_path,
        data_root=str(data),
        train_json='annotations/instances_train.json',
        train_images='images/training',
        val_json='annotations/instances_train.json',
        val_images='images/training',
        classes=tiny_project.THINGS,
        image_size=128,
        batch_size=2,
        max_epochs=1,
    )
    return load_config(config, IN_PROCESS | {'log_level': 'ERROR'}, tmp_path / 'run')


@pytest.fixture
def segmentor(data, tmp_path):
    config = edited_copy(
        'fpn',
        tmp_path,
        data_root=str(data),
        train_images='images/training',
        train_masks='annotations/training',
        val_images='images/validation',
        val_masks='annotations/validation',
        classes=('border', *tiny_project.CLASSES),
        image_size=32,
        batch_size=2,
        max_iters=2,
    )
    return load_config(config, IN_PROCESS | {'log_level': 'ERROR'}, tmp_path / 'run')


def test_a_detector_on_own_data(detector):
    reports = check_data(detector)
    assert not [problem for report in reports for problem in report.problems]
    assert detector.optim_wrapper.optimizer.lr == pytest.approx(0.0025)
    (augment,) = detector.model.data_preprocessor.batch_augments
    assert augment.sizes == (64, 96, 128, 160, 192)
    runner = train_model(detector)
    assert runner.model.bbox_head.num_classes == 3
    scores = runner.message_hub.log_scalars
    assert scores['train/loss_bbox'].current() >= 0


def test_a_segmentor_on_own_data(segmentor):
    reports = check_data(segmentor)
    assert not [problem for report in reports for problem in report.problems]
    runner = train_model(segmentor)
    assert runner.model.decode_head.num_classes == 5
    scores = runner.message_hub.log_scalars
    assert scores['train/decode.loss_ce'].current() > 0
    assert 0 <= scores['val/mDice'].current() <= 100
