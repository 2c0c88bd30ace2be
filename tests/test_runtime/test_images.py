"""Images are resized as the toolboxes' test pipelines do it, byte for byte."""

import mmcv
import numpy as np
import pytest
from mmcv.transforms import Pad, Resize
from mmpretrain.datasets.transforms import CenterCrop, ResizeEdge

from mmanchor.export.metadata import resize_rule
from mmanchor.runtime.images import prepare, read_image
from mmanchor.utils.errors import UserError

SHAPES = [(61, 90), (90, 61), (48, 48), (33, 127)]


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('keep_ratio', [True, False])
@pytest.mark.parametrize('how', ['bilinear', 'bicubic'])
def test_resize_is_mmcvs(shape, keep_ratio, how):
    image = noise(*shape)
    step = dict(type='Resize', scale=(80, 40), keep_ratio=keep_ratio, interpolation=how)
    wanted = Resize(**{key: value for key, value in step.items() if key != 'type'})
    wanted = wanted(dict(img=image.copy()))['img']
    np.testing.assert_array_equal(prepare(image, resize_rule([step]))[0], wanted)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
def test_resized_edge_and_crop_are_mmpretrains(shape, backend):
    image = noise(*shape)
    edge = dict(scale=40, edge='short', backend=backend, interpolation='bicubic')
    wanted = CenterCrop(crop_size=32)(ResizeEdge(**edge)(dict(img=image.copy())))['img']
    rule = resize_rule([dict(type='ResizeEdge', **edge), dict(type='CenterCrop', crop_size=32)])
    np.testing.assert_array_equal(prepare(image, rule)[0], wanted)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('how', [dict(size=(140, 130)), dict(pad_to_square=True)])
def test_padding_is_mmdets(shape, how):
    image = noise(*shape)
    step = dict(pad_val=dict(img=(114, 113, 112)), **how)
    wanted = Pad(**step)(dict(img=image.copy()))['img']
    padded, content = prepare(image, resize_rule([dict(type='Pad', **step)]))
    np.testing.assert_array_equal(padded, wanted)
    assert content == shape


def test_files_are_read_as_mmcv_reads_them(tmp_path):
    path = tmp_path / 'a b.png'
    mmcv.imwrite(noise(20, 30), str(path))
    np.testing.assert_array_equal(read_image(path), mmcv.imread(str(path)))


@pytest.mark.parametrize(
    'image, message',
    [
        ('nowhere.jpg', "there is no image 'nowhere.jpg'"),
        (np.zeros((4, 4, 3), np.float32), 'a uint8 array, got float32'),
        (np.zeros((4, 4, 2), np.uint8), r'\(H, W, 3\), BGR, got the shape \(4, 4, 2\)'),
    ],
)
def test_what_is_no_image_is_named(image, message):
    with pytest.raises(UserError, match=message):
        read_image(image)


def test_a_pipeline_with_an_unknown_step_is_refused():
    with pytest.raises(UserError, match='the step RandomFlip'):
        resize_rule([dict(type='RandomFlip', prob=1.0)])
