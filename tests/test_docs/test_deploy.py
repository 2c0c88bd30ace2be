"""The program on the page of deployment finds what the runtime finds."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from mmanchor.runtime import Model  # noqa: E402

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'deploy.md'
METADATA = dict(
    format_version=1,
    task='detection',
    results='decode',
    classes=['cat', 'dog'],
    input=dict(name='images', size=[32, 48], open_axes=[], normalized_inside=True),
    resize=[dict(op='resize', scale=[48, 32], keep_ratio=False, interpolation='bilinear')],
    outputs=['boxes', 'scores'],
    thresholds=dict(score_thr=0.05, nms_pre=60, iou_threshold=0.5, max_per_img=20),
)


def write_detector(path):
    """A detector with fixed boxes, whose scores grow with the brightness of the image."""
    random = np.random.default_rng(0)
    corner = random.uniform(0, 20, (1, 50, 2))
    boxes = np.concatenate((corner, corner + random.uniform(4, 12, (1, 50, 2))), 2)
    constants = dict(boxes_c=boxes, scores_c=random.uniform(0, 1, (1, 2, 50)), scale=1 / 255)
    images = helper.make_tensor_value_info('images', TensorProto.UINT8, [1, 3, 32, 48])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in dict(boxes=[1, 50, 4], scores=[1, 2, 50]).items()
    ]
    nodes = [
        helper.make_node('Cast', ['images'], ['x'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['x'], ['mean'], keepdims=0),
        helper.make_node('Mul', ['mean', 'scale'], ['share']),
        helper.make_node('Mul', ['scores_c', 'share'], ['scores']),
        helper.make_node('Identity', ['boxes_c'], ['boxes']),
    ]
    weights = [
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in constants.items()
    ]
    graph = helper.make_graph(nodes, 'fixed', [images], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)])
    model.ir_version = 9
    entry = model.metadata_props.add()
    entry.key, entry.value = 'mmanchor', json.dumps(METADATA)
    onnx.save(model, str(path))


def test_the_program_finds_what_the_runtime_finds(tmp_path):
    [source] = re.findall(r':caption: detect.py\n(.*?)^```$', PAGE.read_text(), re.S | re.M)
    assert len(source.splitlines()) <= 60
    program = {}
    exec(source, program)
    path = str(tmp_path / 'x.onnx')
    write_detector(path)
    image = np.random.default_rng(1).integers(100, 256, (70, 90, 3), dtype=np.uint8)
    boxes, scores, names = program['detect'](*program['open_file'](path), image)
    found = Model(path).predict(image)
    assert 5 < len(scores) < 50
    np.testing.assert_allclose(boxes, found.boxes, rtol=1e-5)
    np.testing.assert_array_equal(scores, found.scores)
    assert names == found.names


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('g++'), reason='needs g++')
def test_the_cpp_program_finds_what_the_runtime_finds(tmp_path):
    openvino = pytest.importorskip('openvino')
    from mmanchor.export.suppression import Suppression, add_suppression

    [source] = re.findall(r':caption: detect.cpp\n(.*?)^```$', PAGE.read_text(), re.S | re.M)
    (tmp_path / 'detect.cpp').write_text(source)
    package = Path(openvino.__path__[0])
    [library] = package.glob('libs/libopenvino.so.*')
    flags = ['-std=c++17', '-I', f'{package}/include', '-L', f'{package}/libs']
    links = [f'-l:{library.name}', f'-Wl,-rpath,{package}/libs', '-o', 'detect']
    subprocess.run(['g++', 'detect.cpp', *flags, *links], cwd=tmp_path, check=True)

    path = str(tmp_path / 'x.onnx')
    write_detector(path)
    rule = Suppression(**METADATA['thresholds'])
    model = add_suppression(onnx.load(path), rule)
    model.metadata_props[0].value = json.dumps(
        {**METADATA, 'results': 'nms', 'outputs': ['boxes', 'scores', 'labels', 'counts']}
    )
    onnx.save(model, path)
    image = np.random.default_rng(1).integers(100, 256, (70, 90, 3), dtype=np.uint8)
    (tmp_path / 'x.ppm').write_bytes(b'P6\n90 70\n255\n' + image[..., ::-1].tobytes())
    done = subprocess.run(
        ['./detect', path, 'x.ppm'], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    rows = np.array([line.split() for line in done.stdout.splitlines()], float)
    found = Model(path).predict(image)
    assert len(found.scores) == len(rows) > 3
    np.testing.assert_array_equal(rows[:, 0], found.labels)
    # Both resize an image to within one of 256 levels.
    np.testing.assert_allclose(rows[:, 1], found.scores, atol=0.005)
    np.testing.assert_allclose(rows[:, 2:], found.boxes, rtol=1e-4)
