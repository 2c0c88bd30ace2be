"""An exported file is loaded, predicts and is scored as a model is."""

import json
import re

import cv2
import numpy as np
import pytest
from mmengine.config import Config

pytest.importorskip('onnxruntime')

from exported_files import METADATA, write

import mmanchor
from mmanchor.apis.test import test_model as score
from mmanchor.cli.main import main
from mmanchor.utils.errors import UserError


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / 'colors.onnx')


@pytest.fixture
def photos(tmp_path):
    """A red and a blue image, in folders of their classes."""
    for name, color in (('blue', (90, 0, 0)), ('green', (0, 90, 0)), ('red', (0, 0, 90))):
        path = tmp_path / 'data' / name / 'a.png'
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.full((12, 10, 3), color, np.uint8))
    return tmp_path / 'data'


def config(data, tmp_path, classes=('blue', 'green', 'red')):
    dataset = dict(
        type='CustomDataset',
        data_prefix=str(data),
        metainfo=dict(classes=classes),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=8),
            dict(type='PackInputs'),
        ],
    )
    model = dict(
        type='ImageClassifier',
        backbone=dict(type='LeNet5'),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=84),
    )
    return Config(
        dict(
            default_scope='mmpretrain',
            model=model,
            test_dataloader=dict(
                batch_size=2, dataset=dataset, sampler=dict(type='DefaultSampler', shuffle=False)
            ),
            test_evaluator=dict(type='Accuracy', topk=1),
            test_cfg=dict(),
            work_dir=str(tmp_path / 'work'),
            launcher='none',
        )
    )


def test_it_predicts_as_a_model(file, photos):
    model = mmanchor.load(file)
    assert (model.task, model.classes) == ('classification', ('blue', 'green', 'red'))
    found = model.predict(str(photos))
    assert [each.name for each in found] == ['blue', 'green', 'red']
    assert found[0].draw().shape == (12, 10, 3)


def test_the_command_writes_predictions(file, photos, tmp_path):
    out = tmp_path / 'out'
    assert main(['predict', str(file), '--out-dir', str(out), str(photos)]) == 0
    assert 'blue' in json.dumps(json.loads((out / 'predictions.json').read_text()))


def test_it_is_scored_by_the_metrics_of_a_config(file, photos, tmp_path):
    metrics = score(config(photos, tmp_path), file)
    assert metrics['accuracy/top1'] == 100


def test_other_classes_are_refused(file, photos, tmp_path):
    cfg = config(photos, tmp_path)
    file = write(file, {**METADATA, 'classes': ['red', 'green', 'blue']})
    with pytest.raises(UserError, match=r'3 classes .red, green, blue., and the test data 3 .blue'):
        score(cfg, file)


@pytest.mark.parametrize(
    'words, message',
    [
        (['test', '{file}'], 'give .*colors.onnx and --config CONFIG'),
        (['predict', '{file}', 'x.png', '--device', 'cpu'], '--device needs a config'),
    ],
)
def test_wrong_words_are_refused(file, capsys, words, message):
    assert main([word.format(file=file) for word in words]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_raw_maps_are_no_predictions(tmp_path):
    metadata = {**METADATA, 'task': 'detection', 'results': 'raw'}
    with pytest.raises(UserError, match='gives the maps of the head'):
        mmanchor.load(write(tmp_path / 'raw.onnx', metadata))


def test_nothing_else_is_taken(file):
    with pytest.raises(UserError, match='is an exported file: it takes no checkpoint'):
        mmanchor.load(file, 'x.pth')
