"""Whole exports: each format is run by its own program and agrees with torch."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import mmanchor
from mmanchor.export.formats.tensorrt_recipe import TensorRtProgram, recipe
from mmanchor.export.model import export_model
from mmanchor.runtime import Model

DETECTOR = 'picodet_anchorformer-demo_1xb8-6e_demo-160'
SEGMENTOR = 'upernet_anchorformer-demo_1xb8-1100_demo-128'
DATA = os.environ.get('MMANCHOR_TEST_DATA')
random_weights = pytest.mark.filterwarnings('ignore:no checkpoint')


def write_photos(folder, number=4):
    random = np.random.default_rng(0)
    for i in range(number):
        coarse = random.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{i}.png'), cv2.resize(coarse, (160, 120)))


@pytest.mark.slow
@random_weights
@pytest.mark.parametrize('suffix, package', [('.param', 'ncnn'), ('.torchscript', 'torch')])
def test_traced_formats_agree(tmp_path, suffix, package):
    pytest.importorskip(package)
    torch.manual_seed(0)
    report = export_model(SEGMENTOR, None, tmp_path / f'x{suffix}', results='logits')
    assert report.verification.difference < 1e-4
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    assert Model(report.path).predict(image).mask.shape == (90, 120)


@pytest.mark.slow
@random_weights
@pytest.mark.parametrize('suffix, package', [('.onnx', 'onnxruntime'), ('.xml', 'openvino')])
def test_int8_keeps_most_of_what_is_seen(tmp_path, suffix, package):
    pytest.importorskip('onnxscript')
    pytest.importorskip(package)
    write_photos(tmp_path)
    torch.manual_seed(0)
    out = tmp_path / 'out' / f'x{suffix}'
    report = export_model(SEGMENTOR, None, out, int8=tmp_path, size=(64, 64), results='logits')
    assert 0 < report.verification.difference < 0.1
    assert report.metadata['int8']['symmetric'] is False
    assert Model(out).run(np.zeros((1, 64, 64, 3), np.uint8))[0].shape[2:] == (64, 64)


def test_the_recipe_names_the_sizes_that_are_open():
    program = TensorRtProgram(None, (320, 416), 'batch', half=True, int8=False)
    text = recipe(program, 'x.onnx')
    assert '--fp16' in text and '--int8' not in text
    assert '--minShapes=images:1x3x320x416' in text
    assert '--maxShapes=images:8x3x320x416' in text
    assert 'Shapes' not in recipe(TensorRtProgram(None, (320, 416), None, False, True), 'x.onnx')


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason='MMANCHOR_TEST_DATA is not set')
def test_the_published_detector_finds_the_same_on_coco(tmp_path):
    config = 'picodet_esnet-s_4xb80-300e_coco-416'
    weights = Path(DATA, 'weights/picodet_s_esnet_416_coco.safetensors')
    photos = sorted(Path(DATA, 'coco/val2017').glob('*.jpg'))[:3]
    report = export_model(config, weights, tmp_path / 'x.torchscript')
    model, program = mmanchor.load(config, weights, 'cpu'), Model(report.path)
    for photo, wanted in zip(photos, model.predict(list(photos)), strict=True):
        found = program.predict(photo)
        assert found.names == wanted.names
        np.testing.assert_allclose(found.boxes, wanted.boxes, atol=0.01)
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-4)
