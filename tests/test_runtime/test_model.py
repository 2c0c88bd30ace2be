"""Exported files run without torch, and hostile or foreign ones are refused."""

import json
import subprocess
import sys
from random import Random

import numpy as np
import pytest

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from exported_files import METADATA, write

from mmanchor.runtime import Model, suppress
from mmanchor.runtime.images import prepare
from mmanchor.runtime.metadata import read_metadata, steps_of
from mmanchor.runtime.results import to_boxes, to_mask
from mmanchor.utils.errors import UserError


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
        ('[]', 'metadata of version None'),
        ({**METADATA, 'format_version': 9}, 'version 9, and this mmanchor reads version 1'),
        (
            {key: METADATA[key] for key in METADATA if key != 'classes'},
            'classes must be a list of names, got None',
        ),
        (
            {**METADATA, 'input': {**METADATA['input'], 'size': [8, 10**9]}},
            r'input.size must be two sides of 1 to 16384 pixels, got \[8, 1000000000\]',
        ),
        ({**METADATA, 'resize': [dict(op='exec')]}, 'resize must be a list of steps'),
        (
            {**METADATA, 'input': {**METADATA['input'], 'normalized_inside': False}},
            'lacks input.mean or input.std',
        ),
    ],
)
def test_foreign_metadata_is_refused(tmp_path, metadata, message):
    with pytest.raises(UserError, match=message):
        Model(write(tmp_path / 'x.onnx', metadata))


JUNK = (None, True, -1, 10**12, 1e308, 'x', '', [], [[]], {}, {'op': 'resize'}, [1, 'x'])


def mutated(value, random):
    """The value with a part of it replaced or left out."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    if not isinstance(value, (dict, list)) or not keys or random.random() < 0.2:
        return random.choice(JUNK)
    key = random.choice(keys)
    changed = value.copy()
    if random.random() < 0.2:
        del changed[key]
    elif isinstance(changed[key], (dict, list)):
        changed[key] = mutated(changed[key], random)
    else:
        changed[key] = random.choice(JUNK)
    return changed


def test_images_are_padded_by_black_where_no_mean_is_known():
    # A step without interpolation keeps the shape too.
    step = dict(op='resize', scale=[8, 8], keep_ratio=True)
    given = {**METADATA['input'], 'mean': None}
    metadata = {**METADATA, 'task': 'detection', 'input': given, 'resize': [step]}
    metadata = read_metadata(json.dumps(metadata), 'x.onnx')
    assert steps_of(metadata)[-1]['value'] == [0, 0, 0]


@pytest.mark.parametrize('task', ['classification', 'detection', 'segmentation'])
@pytest.mark.filterwarnings('ignore::RuntimeWarning')
def test_any_metadata_is_taken_or_refused_in_one_line(tmp_path, task):
    steps = [
        dict(op='resize_edge', size=8, edge='short', backend='pillow', interpolation='bicubic'),
        dict(op='center_crop', size=[8, 8]),
        dict(op='pad', size=[8, 8], value=[1, 2, 3]),
    ]
    given = {**METADATA['input'], 'mean': [1, 2, 3], 'std': [1, 1, 1], 'flips': False}
    whole = {**METADATA, 'task': task, 'input': given, 'resize': steps}
    whole['thresholds'] = dict(score_thr=0.1, nms_pre=10, threshold=0.4)
    random = Random(0)
    for _ in range(150):
        path = write(tmp_path / 'x.onnx', mutated(whole, random))
        try:
            Model(path).predict(np.zeros((9, 8, 3), np.uint8))
        except UserError as error:
            assert '\n' not in str(error)


def test_a_broken_file_is_refused(tmp_path):
    data = write(tmp_path / 'x.onnx').read_bytes()
    random = Random(0)
    for _ in range(50):
        place = random.randrange(len(data))
        broken = data[:place] + bytes(random.randrange(256) for _ in range(3)) + data[place + 3 :]
        broken = broken if random.random() < 0.7 else broken[:place]
        (tmp_path / 'x.onnx').write_bytes(broken)
        try:
            Model(tmp_path / 'x.onnx').predict(np.zeros((8, 8, 3), np.uint8))
        except UserError as error:
            assert '\n' not in str(error)


def test_a_thin_image_that_would_grow_huge_is_refused():
    with pytest.raises(UserError, match='1 x 60000 pixels would become one of 60000 x 60000'):
        prepare(np.zeros((1, 60000, 3), np.uint8), [dict(op='pad_square', value=[0, 0, 0])])


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / 'x.onnx').write_bytes(b'no protocol buffer')
    with pytest.raises(UserError, match='cannot be run by ONNX Runtime'):
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


@pytest.mark.parametrize(
    'images, message',
    [
        (np.zeros((1, 8, 8, 3), np.float32), 'got .1, 8, 8, 3. of float32'),
        (np.zeros((8, 8, 3), np.uint8), 'got .8, 8, 3. of uint8'),
    ],
)
def test_other_arrays_are_refused_by_run(tmp_path, images, message):
    with pytest.raises(UserError, match=message):
        Model(write(tmp_path / 'x.onnx')).run(images)


def test_two_images_are_refused_by_a_file_for_one(tmp_path):
    given = {**METADATA['input'], 'open_axes': []}
    model = Model(write(tmp_path / 'x.onnx', {**METADATA, 'input': given}))
    with pytest.raises(UserError, match='takes one image at a time, got 2'):
        model.run(np.zeros((2, 8, 8, 3), np.uint8))


def test_other_suffixes_are_refused(tmp_path):
    (tmp_path / 'x.pth').touch()
    with pytest.raises(UserError, match=r'is no exported model; its suffix would be one of .onnx'):
        Model(tmp_path / 'x.pth')


def metadata_of(task, resize, size, open_axes=()):
    given = dict(size=size, open_axes=open_axes, mean=[30, 20, 10], flips=True)
    return dict(task=task, resize=resize, input=given)


def test_images_keep_their_shape_in_a_file_of_one_size():
    steps = [dict(op='resize', scale=[1333, 800], keep_ratio=True, interpolation='bilinear')]
    metadata = metadata_of('detection', steps, [64, 96])
    image, content = prepare(np.full((100, 50, 3), 255, np.uint8), steps_of(metadata))
    assert image.shape == (64, 96, 3)
    assert content == (64, 32)
    # The mean, as BGR.
    assert image[0, 40].tolist() == [10, 20, 30]
    assert steps_of(metadata_of('detection', steps, [64, 96], ['height', 'width'])) == steps


def test_images_are_stretched_where_the_pipeline_stretches():
    steps = [dict(op='resize', scale=[320, 320], keep_ratio=False, interpolation='bicubic')]
    image, content = prepare(
        np.zeros((9, 5, 3), np.uint8), steps_of(metadata_of('detection', steps, [64, 96]))
    )
    assert image.shape[:2] == content == (64, 96)


def test_a_pipeline_that_pads_ends_at_its_size():
    steps = [
        dict(op='resize', scale=[32, 32], keep_ratio=True, interpolation='bilinear'),
        dict(op='pad', size=[32, 32], value=[114, 114, 114]),
    ]
    metadata = metadata_of('detection', steps, [32, 32])
    assert steps_of(metadata) == steps
    image, content = prepare(np.zeros((10, 20, 3), np.uint8), steps)
    assert (image.shape, content) == ((32, 32, 3), (16, 32))
    assert (image[16:] == 114).all()


def test_boxes_are_in_pixels_of_the_image_and_cut_at_its_border():
    boxes = np.array([[-1.0, 0, 16, 40]], np.float32)
    found = to_boxes(boxes, np.ones(1), np.zeros(1), (32, 16), (64, 64), ['a'], 0.5)
    assert found.boxes.tolist() == [[0, 0, 64, 64]]


@pytest.mark.parametrize('size', [(1, 3000), (3000, 1)])
def test_thin_images_stay_images(size):
    image = np.zeros((*size, 3), np.uint8)
    steps = [dict(op='resize', scale=[64, 64], keep_ratio=True)]
    assert min(prepare(image, steps)[0].shape) == 1


def test_one_channel_has_a_threshold():
    logits = np.array([[[-0.5, 0.5]]], np.float32)
    assert to_mask(logits, (1, 2), ['crack'], 0.3).mask.tolist() == [[1, 1]]
    assert to_mask(logits, (1, 2), ['crack'], 0.5).mask.tolist() == [[0, 1]]


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
