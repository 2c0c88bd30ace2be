"""Exported files run without torch, and hostile or foreign ones are refused."""

import json
import subprocess
import sys

import numpy as np
import pytest

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from onnx import TensorProto, helper  # noqa: E402

from mmanchor.runtime import Model, suppress  # noqa: E402
from mmanchor.runtime.results import to_mask  # noqa: E402
from mmanchor.utils.errors import UserError  # noqa: E402

METADATA = dict(
    format_version=1,
    task='classification',
    results='logits',
    classes=['blue', 'green', 'red'],
    input=dict(name='images', size=[8, 8], open_axes=['batch'], normalized_inside=True),
    resize=[dict(op='resize', scale=[8, 8], keep_ratio=False, backend='cv2')],
    outputs=['logits'],
)


def write(path, metadata=METADATA):
    """A classifier whose logits are the means of the channels."""
    nodes = [
        helper.make_node('Cast', ['images'], ['x'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['x', 'axes'], ['logits'], keepdims=0),
    ]
    axes = onnx.numpy_helper.from_array(np.array([2, 3], np.int64), 'axes')
    graph = helper.make_graph(
        nodes,
        'means',
        [helper.make_tensor_value_info('images', TensorProto.UINT8, ['batch', 3, 8, 8])],
        [helper.make_tensor_value_info('logits', TensorProto.FLOAT, ['batch', 3])],
        [axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)])
    model.ir_version = 9
    if metadata is not None:
        entry = model.metadata_props.add()
        entry.key = 'mmanchor'
        entry.value = metadata if isinstance(metadata, str) else json.dumps(metadata)
    onnx.save(model, str(path))
    return path


def test_a_classifier_names_the_class(tmp_path):
    image = np.zeros((20, 30, 3), np.uint8)
    image[..., 2] = 90  # BGR: red
    result = Model(write(tmp_path / 'x.onnx')).predict(image)
    assert (result.label, result.name) == (2, 'red')
    assert result.scores.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    'metadata, message',
    [
        (None, 'was not written by mmanchor export'),
        ('{"task":', 'is damaged'),
        ('[' * 100_000, 'is damaged'),
        ('[]', 'lacks task, results'),
        ({**METADATA, 'format_version': 9}, 'version 9, and this mmanchor reads version 1'),
        ({key: METADATA[key] for key in METADATA if key != 'classes'}, 'lacks classes'),
    ],
)
def test_foreign_metadata_is_refused(tmp_path, metadata, message):
    with pytest.raises(UserError, match=message):
        Model(write(tmp_path / 'x.onnx', metadata))


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / 'x.onnx').write_bytes(b'no protocol buffer')
    with pytest.raises(UserError, match='is no ONNX model that can be run'):
        Model(tmp_path / 'x.onnx')
    with pytest.raises(UserError, match='there is no file'):
        Model(tmp_path / 'y.onnx')


def test_a_missing_provider_is_named(tmp_path):
    with pytest.raises(UserError, match="'NoSuchProvider' is not there"):
        Model(write(tmp_path / 'x.onnx'), providers=['NoSuchProvider'])


def test_an_image_of_another_size_is_refused_by_run(tmp_path):
    model = Model(write(tmp_path / 'x.onnx'))
    with pytest.raises(UserError, match='takes images of 8 x 8 pixels, got 9 x 8'):
        model.run(np.zeros((1, 9, 8, 3), np.uint8))


def test_neither_torch_nor_openmmlab_is_imported(tmp_path):
    path = write(tmp_path / 'x.onnx')
    code = f"""
import sys
import numpy as np
from mmanchor.runtime import Model
Model({str(path)!r}).predict(np.zeros((8, 8, 3), np.uint8))
heavy = {{name.partition('.')[0] for name in sys.modules}}
assert not heavy & {{'torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain'}}, heavy
"""
    subprocess.run([sys.executable, '-c', code], check=True)


def test_suppression_keeps_classes_apart():
    boxes = np.array([[0.0, 0, 4, 4], [0, 0, 4, 4]])
    found, scores, labels = suppress(boxes, np.array([[0.9, 0.8], [0.2, 0.7]]), 0.5, 0.1)
    assert labels.tolist() == [0, 1]
    assert scores.tolist() == [0.9, 0.7]
    assert len(found) == 2


def test_logits_are_resized_before_the_class_is_chosen():
    logits = np.zeros((2, 1, 2), np.float32)
    logits[1, 0] = (1, -3)
    mask = to_mask(logits, (1, 8), ['a', 'b']).mask
    assert mask.tolist() == [[1, 1, 1, 0, 0, 0, 0, 0]]
