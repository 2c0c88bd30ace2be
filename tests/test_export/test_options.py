"""What cannot be exported is refused in one line, before the work."""

import numpy as np
import pytest

from mmanchor.export import verify
from mmanchor.export.model import export_model
from mmanchor.export.options import ExportOptions
from mmanchor.export.quantization import most_sensitive
from mmanchor.utils.errors import UserError

DETECTOR = 'picodet_anchorformer-demo_1xb8-6e_demo-160'


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(size=(0, 64)), r'--size must be H W in pixels, 1 or more each, got 0 64'),
        (dict(size=(1, 2, 3)), 'got 1 2 3'),
        (dict(opset=17), '--opset must be 18 or more, got 17'),
        (dict(format='tflite'), "--format must be one of onnx, .* got 'tflite'"),
        (dict(dynamic='w'), "--dynamic must be 'batch' or 'hw', got 'w'"),
        (dict(half=True, int8='.'), '--half and --int8 do not go together'),
        (dict(int8='nowhere'), "--int8 must be a folder of images, got 'nowhere'"),
        (dict(images='nowhere'), "--images must be a folder of images, got 'nowhere'"),
        (dict(most_in_float=1.5), '--most-in-float must be between 0 and 1, got 1.5'),
        (dict(num_calibration=0), '--num-calibration must be 1 or more, got 0'),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        ExportOptions(**options)


@pytest.mark.parametrize(
    'out, options, message',
    [
        ('x.pth', {}, r'OUT must end in one of .*\.onnx'),
        ('x.onnx', dict(format='openvino'), r'OUT of --format openvino must end in \.xml'),
        ('x.torchscript', dict(dynamic='hw'), 'torchscript serves one size'),
        ('x.pt2', dict(results='nms'), '--format pt2 has no NMS; use --with decode'),
        ('x.onnx', dict(format='tensorrt-recipe', results='nms'), 'tensorrt-recipe has no NMS'),
        ('x.param', dict(uint8_input=True), 'ncnn takes normalized images'),
        ('x.param', dict(results='labels'), 'ncnn has no argmax; use --with logits'),
        ('x.torchscript', dict(int8='.'), '--int8 is for --format onnx, openvino'),
        ('x.pt2', dict(opset=20), '--opset is for ONNX'),
        ('folder.onnx', {}, 'folder.onnx is a folder'),
        ('file/x.onnx', {}, 'the folder of OUT'),
        ('taken.xml', {}, r'would overwrite taken\.bin, which belongs to another file'),
    ],
)
def test_what_a_format_cannot_do_is_refused(tmp_path, monkeypatch, out, options, message):
    pytest.importorskip('ncnn') if out.endswith('.param') else None
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'folder.onnx').mkdir()
    (tmp_path / 'file').touch()
    (tmp_path / 'taken.bin').touch()
    with pytest.raises(UserError, match=message):
        export_model(DETECTOR, None, out, **options)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(UserError, match=r"needs onnx, .*: run pip install 'mmanchor\[onnx\]'"):
        export_model(DETECTOR, None, tmp_path / 'x.onnx')


def test_insensitive_operators_are_quantized():
    errors = {f'{i}': 0.001 * i for i in range(9)}
    assert most_sensitive(errors, 0.5) == []
    assert most_sensitive({**errors, 'last': 0.5}, 0.5) == ['last']
    assert most_sensitive({**errors, 'last': 0.5}, 0.0) == []


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:no checkpoint')
@pytest.mark.parametrize('half', [False, True])
def test_torchscript_predicts_as_the_model(tmp_path, half):
    import torch

    import mmanchor
    from mmanchor.runtime import Model

    torch.manual_seed(0)
    report = export_model(DETECTOR, None, tmp_path / 'x.torchscript', half=half)
    assert report.verification.difference <= report.verification.tolerance
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    [wanted] = mmanchor.load(DETECTOR, device='cpu').predict(image, score_thr=0.0)
    found = Model(report.path).predict(image, score_thr=0.0)
    assert len(wanted.boxes)
    if not half:
        assert len(found.boxes) == len(wanted.boxes)
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-5)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ['x.json', 'x.torchscript']


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:no checkpoint')
def test_a_file_that_disagrees_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(verify.TOLERANCES['detection'], 'float32', -1.0)
    with pytest.raises(UserError, match='nothing was written'):
        export_model(DETECTOR, None, tmp_path / 'x.torchscript')
    assert not list(tmp_path.iterdir())
