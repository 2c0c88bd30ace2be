"""Torn pictures are told from whole ones without decoding them."""

import io

import numpy as np
import pytest
from PIL import Image

from mmanchor.datasets.image_files import UnreadablePictureError, picture_fault

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
EARLY = 'is a JPEG that ends too early'


def encode(kind, **options):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def fault(tmp_path):

    def run(content):
        path = tmp_path / 'picture'
        path.write_bytes(content)
        return picture_fault(str(path))

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
def test_something_may_follow_the_picture(fault, tail):
    assert fault(encode('JPEG') + tail) is None


def test_end_of_an_embedded_picture_is_not_the_end(fault):
    small = encode('JPEG')
    whole = encode('JPEG', exif=b'Exif\0\0' + small)
    assert whole.count(b'\xff\xd9') == 2
    assert fault(whole) is None
    assert fault(whole[:-100]) == EARLY


def test_missing_and_empty_files(fault, tmp_path):
    assert fault(b'') == 'is empty'
    gone = picture_fault(str(tmp_path / 'gone.jpg'))
    assert gone == 'cannot be opened: No such file or directory'


@pytest.mark.parametrize('kind', ['PNG', 'BMP', 'WEBP', 'TIFF'])
def test_other_formats_are_left_to_their_decoders(fault, kind):
    assert fault(encode(kind)) is None


def test_message_of_a_worker_is_freed_from_its_traceback():
    text = (
        'Caught UnreadablePictureError in DataLoader worker process 0.\n'
        'Original Traceback (most recent call last):\n  File "x.py"\n'
        'mmanchor.datasets.image_files.UnreadablePictureError: a.jpg is '
        'empty\n'
    )
    assert str(UnreadablePictureError(text)) == 'a.jpg is empty'
