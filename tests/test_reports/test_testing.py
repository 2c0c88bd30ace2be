"""`mmanchor test --report` from the config to the page."""

import json

import pytest
import tiny_project

from mmanchor.apis.test import test_model as score
from mmanchor.reports.analysis import analyze
from mmanchor.reports.records import load_record
from mmanchor.utils.config import load_config

pytestmark = pytest.mark.usefixtures('plain_configs')


def config(tiny, tmp_path, name):
    return load_config(tiny / f'{name}.py', dict(log_level='ERROR'), tmp_path / 'work')


def test_a_segmentor_is_reported(tiny, tmp_path, seg_checkpoint):
    metrics = score(config(tiny, tmp_path, 'seg'), seg_checkpoint, report=tmp_path / 'page')
    record = load_record(tmp_path / 'page')
    assert record.scores == metrics and record.classes == list(tiny_project.CLASSES)
    assert round(100 * analyze(record).headline['mIoU'], 2) == pytest.approx(metrics['mIoU'])
    assert record.run['cost'][0]['params'] > 0 and record.run['environment']['torch']
    text = (tmp_path / 'page' / 'index.html').read_text()
    assert 'Calibration' in text and 'valid_000.jpg' in text


def test_views_and_a_report_go_together(tiny, tmp_path, seg_checkpoint):
    score(config(tiny, tmp_path, 'seg'), seg_checkpoint, tta=True, report=tmp_path / 'page')
    assert len(load_record(tmp_path / 'page').images) == 2


def test_a_detector_is_reported(tiny, tmp_path, det_checkpoint):
    cfg = config(tiny, tmp_path, 'det')
    metrics = score(cfg, det_checkpoint, report=tmp_path / 'page')
    record = load_record(tmp_path / 'page')
    assert round(analyze(record).headline['AP'], 3) == metrics['coco/bbox_mAP']
    truth = json.loads((tiny / 'data/annotations/instances_train.json').read_text())
    assert len(record.arrays['truth_box']) == len(truth['annotations'])
    assert 'Errors and sizes' in (tmp_path / 'page' / 'index.html').read_text()


def test_a_report_that_cannot_be_written_stops_before_the_test(tiny, tmp_path, seg_checkpoint):
    (tmp_path / 'file').touch()
    with pytest.raises(ValueError, match=r'--report .* is not a folder'):
        score(config(tiny, tmp_path, 'seg'), seg_checkpoint, report=tmp_path / 'file')
