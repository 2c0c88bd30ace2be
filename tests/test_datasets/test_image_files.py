"""Truncated images are found without decoding them."""

import io

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image

from mmanchor.datasets import UnreadableImageError
from mmanchor.datasets.image_files import decoding_fault, image_fault

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
EARLY = 'is a JPEG that ends too early'


def encode(kind, **options):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def fault(tmp_path):

    def run(content):
        path = tmp_path / 'image'
        path.write_bytes(content)
        return image_fault(str(path))

    return run


@pytest.mark.parametrize('progressive', [False, True])
def test_jpeg_that_was_cut_off(fault, progressive):
    whole = encode('JPEG', progressive=progressive)
    assert fault(whole) is None
    for end in (-1, -2, -40, len(whole) // 2, 700, 20, 3, 2):
        assert fault(whole[:end]) == EARLY
    # As a download leaves it that had reserved the space.
    half = len(whole) // 2
    assert fault(whole[:half] + bytes(half)) == EARLY


@pytest.mark.parametrize('tail', [b'\0', b'\n', b'any other text' * 9])
def test_something_may_follow_the_image(fault, tail):
    assert fault(encode('JPEG') + tail) is None


def test_end_of_an_embedded_image_is_not_the_end(fault):
    small = encode('JPEG')
    whole = encode('JPEG', exif=b'Exif\0\0' + small)
    assert whole.count(b'\xff\xd9') == 2
    assert fault(whole) is None
    assert fault(whole[:-100]) == EARLY


def test_missing_and_empty_files(fault, tmp_path):
    assert fault(b'') == 'is empty'
    gone = image_fault(str(tmp_path / 'gone.jpg'))
    assert gone == 'cannot be opened: No such file or directory'


@pytest.mark.parametrize('kind', ['PNG', 'BMP', 'WEBP', 'TIFF'])
def test_other_formats_are_left_to_their_decoders(fault, kind):
    assert fault(encode(kind)) is None


def test_message_of_a_worker_is_freed_from_its_traceback():
    text = (
        'Caught UnreadableImageError in DataLoader worker process 0.\n'
        'Original Traceback (most recent call last):\n  File "x.py"\n'
        'mmanchor.utils.images.UnreadableImageError: a.jpg is '
        'empty\n'
    )
    assert str(UnreadableImageError(text)) == 'a.jpg is empty'


def test_decoding_faults_name_the_cause(tmp_path, monkeypatch):
    path = tmp_path / 'a.png'
    Image.fromarray(PIXELS).save(path)
    assert decoding_fault(str(path)) is None
    path.write_bytes(path.read_bytes()[:60])
    assert 'cannot be decoded' in decoding_fault(str(path))
    assert (
        decoding_fault(str(tmp_path / 'gone.png')) == 'cannot be opened: No such file or directory'
    )
    path.write_bytes(b'')
    assert decoding_fault(str(path)) == 'is empty'


def test_images_beyond_the_limit_of_the_decoder_name_their_size(tmp_path, monkeypatch):
    path = tmp_path / 'huge.png'
    Image.fromarray(PIXELS).save(path)

    def refuse(*args, **kwargs):
        raise cv2.error('Assertion failed: pixels <= CV_IO_MAX_IMAGE_PIXELS')

    monkeypatch.setattr(mmcv, 'imfrombytes', refuse)
    monkeypatch.setenv('OPENCV_IO_MAX_IMAGE_PIXELS', '1000')
    fault = decoding_fault(str(path))
    assert '60 x 40 pixels are more than OpenCV reads' in fault
    assert 'OPENCV_IO_MAX_IMAGE_PIXELS' in fault
