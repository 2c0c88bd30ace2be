import numpy as np
import pytest

from mmanchor.visualization import (
    class_legend,
    color_mask,
    distinct_palette,
    overlay_mask,
    write_names,
)

PALETTE = [(200, 0, 0), (0, 100, 0)]


def test_overlay_mixes_by_opacity():
    image = np.full((1, 3, 3), 100, np.uint8)
    mask = np.array([[0, 1, 255]], np.uint8)
    out = overlay_mask(image, mask, PALETTE, opacity=0.25)
    assert out.tolist() == [[[125, 75, 75], [75, 100, 75], [100, 100, 100]]]
    assert out.dtype == np.uint8


def test_ignored_pixels_are_black_in_a_colored_mask():
    out = color_mask(np.array([[1, 7]]), PALETTE, ignore_index=7)
    assert out.tolist() == [[[0, 100, 0], [0, 0, 0]]]


def test_without_ignore_index_255_is_a_label_like_any_other():
    with pytest.raises(ValueError, match='255'):
        color_mask(np.array([[255]]), PALETTE, ignore_index=None)


def test_gray_image_is_accepted():
    out = overlay_mask(np.full((2, 2), 9, np.uint8), np.zeros((2, 2), int), PALETTE, 0.0)
    assert (out == 9).all() and out.shape == (2, 2, 3)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(opacity=1.5), 'opacity .* 1.5'),
        (dict(mask=np.zeros((3, 3), int)), r'mask is \(3, 3\)'),
        (dict(mask=np.full((2, 2), 2)), 'labels 2 to 2'),
        (dict(image=np.zeros((2, 2, 4), np.uint8)), r'got \(2, 2, 4\)'),
        (dict(image=np.zeros((2, 2, 3))), 'float64'),
    ],
)
def test_errors_name_the_argument(change, message):
    args = dict(image=np.zeros((2, 2, 3), np.uint8), mask=np.zeros((2, 2), int), palette=PALETTE)
    with pytest.raises(ValueError, match=message):
        overlay_mask(**{**args, **change})


def test_palette_is_distinct_and_deterministic():
    assert distinct_palette(3) == distinct_palette(5)[:3]
    assert len(set(distinct_palette(255))) == 255


def test_legend_shows_every_color_and_wraps():
    wide = class_legend(['cat', 'dog'], PALETTE, width=400)
    narrow = class_legend(['cat', 'dog'], PALETTE, width=70)
    assert narrow.shape[0] == 2 * wide.shape[0] and wide.shape[1] == 400
    for color in PALETTE:
        assert (wide == color).all(-1).any()
        assert (narrow == color).all(-1).any()


def test_name_is_written_inside_its_region():
    image = np.full((60, 120, 3), 100, np.uint8)
    mask = np.full((60, 120), 255)
    mask[10:50, 70:110] = 1
    changed = (write_names(image, mask, ['no', 'x'], 12) != image).any(-1)
    assert changed.any() and not changed[mask == 255].any()
    assert changed[25:35, 85:95].any()


def test_small_regions_and_unknown_labels_get_no_name():
    image = np.full((60, 60, 3), 100, np.uint8)
    mask = np.full((60, 60), 7)
    mask[5:8, 5:8] = 0
    assert (write_names(image, mask, ['tiny'], 12) == image).all()
