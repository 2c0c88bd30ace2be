from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from mmanchor.utils.errors import UserError
from mmanchor.utils.images import (
    UnreadableImageError,
    as_bgr,
    dark_fault,
    image_size,
    opencv_limit,
    read_image,
)
from mmanchor.utils.memory import free_memory

COLORS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def test_an_array_is_bgr_and_a_pillow_image_rgb():
    bgr = np.ascontiguousarray(COLORS[..., ::-1])
    np.testing.assert_array_equal(as_bgr(bgr), bgr)
    np.testing.assert_array_equal(as_bgr(COLORS, rgb=True), bgr)
    np.testing.assert_array_equal(as_bgr(Image.fromarray(COLORS)), bgr)


def test_gray_is_repeated_and_alpha_dropped():
    gray = COLORS[..., 0]
    for each in (gray, gray[..., None]):
        np.testing.assert_array_equal(as_bgr(each), np.stack([gray] * 3, axis=-1))
    with_alpha = np.concatenate((COLORS, gray[..., None]), axis=-1)
    np.testing.assert_array_equal(as_bgr(with_alpha), COLORS)


def test_a_pillow_image_is_turned_as_a_file_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / 'turned.png'
    Image.fromarray(COLORS).save(path, exif=exif)
    image = read_image(path)
    assert image.shape == (8, 6, 3)
    np.testing.assert_array_equal(as_bgr(Image.open(path)), image)


@pytest.mark.parametrize(
    'image, message',
    [
        (COLORS.astype(np.float32), r'\(6, 8, 3\) float32'),
        (COLORS.transpose(2, 0, 1), r'\(3, 6, 8\) uint8'),
        (COLORS[:0], r'\(0, 8, 3\)'),
        (3.5, 'got builtins.float'),
    ],
)
def test_other_things_are_refused(image, message):
    with pytest.raises(UserError, match=message):
        as_bgr(image)


def write_text(path):
    path.write_text('no image')


def write_half(path):
    Image.fromarray(np.tile(COLORS, (40, 40, 1))).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    'name, write, reason',
    [
        ('a.png', lambda path: path.touch(), 'the file is empty'),
        ('a.png', write_text, 'it is not an image'),
        ('a.png', write_half, 'damaged or cut short'),
        ('a.jpg', write_half, 'damaged or cut short'),
        (
            'a.tif',
            lambda p: Image.fromarray(COLORS[..., 0] / np.float32(255)).save(p),
            '32-bit float',
        ),
        (
            'a.tif',
            lambda p: Image.fromarray(COLORS[..., 0].astype('i4')).save(p),
            '32-bit integers',
        ),
        ('a.png', lambda path: path.mkdir(), 'directory'),
        ('a.png', lambda path: path.symlink_to(path.name), 'symbolic links'),
        ('a.png', lambda path: None, 'No such file'),
    ],
)
def test_the_reason_is_said(tmp_path, name, write, reason):
    write(tmp_path / name)
    with pytest.raises(UnreadableImageError, match=reason):
        read_image(tmp_path / name)


def test_the_limit_of_opencv_is_named(tmp_path, monkeypatch):
    Image.fromarray(COLORS).save(tmp_path / 'a.png')
    # OpenCV reads the variable once, when it is imported.
    monkeypatch.setenv('OPENCV_IO_MAX_IMAGE_PIXELS', '10')
    monkeypatch.setattr('mmcv.imread', lambda path: None)
    with pytest.raises(
        UnreadableImageError, match=r'8 x 6 pixels .*OPENCV_IO_MAX_IMAGE_PIXELS, now 10'
    ):
        read_image(tmp_path / 'a.png')


def test_sizes_by_header_are_height_first(tmp_path):
    Image.fromarray(COLORS).save(tmp_path / 'a.png')
    assert image_size(tmp_path / 'a.png') == (6, 8)
    (tmp_path / 'b.png').write_text('no image')
    assert image_size(tmp_path / 'b.png') is None


def test_free_memory_is_a_number_of_bytes():
    free = free_memory()
    assert free is None or free > 2**20


@pytest.mark.parametrize('value, limit', [('', 1 << 30), ('many', 1 << 30), ('500', 500)])
def test_the_limit_of_opencv_follows_its_variable(value, limit, monkeypatch):
    monkeypatch.setenv('OPENCV_IO_MAX_IMAGE_PIXELS', value)
    assert opencv_limit() == limit


def test_threads_leave_pillows_limit_as_it_was(tmp_path):
    path = tmp_path / 'a.png'
    Image.new('RGB', (4, 4)).save(path)
    before = Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(image_size, [path] * 400)) == {(4, 4)}
    assert before is not None and before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize('suffix', ['png', 'tif'])
@pytest.mark.parametrize('factor, dark', [(1, True), (16, False)])
def test_twelve_bits_in_sixteen_are_read_dark(tmp_path, suffix, factor, dark):
    path = tmp_path / f'a.{suffix}'
    values = np.linspace(0, 4064, 48).reshape(6, 8)
    cv2.imwrite(str(path), values.astype(np.uint16) * factor)
    fault = dark_fault(str(path))
    assert bool(fault) is dark
    assert not dark or ('values up to 4064 in 16 bits' in fault and 'multiply it by 16' in fault)


def test_eight_bits_are_never_dark(tmp_path):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    assert dark_fault(str(path)) is None
