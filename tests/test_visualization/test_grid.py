import numpy as np
import pytest

from mmanchor.visualization import image_grid


def test_images_keep_their_pixels_and_order():
    red, gray = np.zeros((4, 6, 3), np.uint8), np.full((2, 6), 77, np.uint8)
    red[..., 0] = 255
    grid = image_grid([[red, gray], [gray, red]], ['', ''], gap=2)
    assert grid.shape == (2 * 6 + 2, 2 * 8 + 2, 3)
    assert (grid[2:6, 2:8] == red).all()
    assert (grid[8:12, 10:16] == red).all()
    assert (grid[3:5, 10:16] == 77).all()
    assert (grid[2, 10:16] == 255).all()


def test_titles_and_legend_take_their_own_space():
    image = np.zeros((40, 40), np.uint8)
    legend = np.full((10, 500, 3), 3, np.uint8)
    plain = image_grid([[image]], [''])
    grid = image_grid([[image]], ['ab'], legend=legend)
    assert grid.shape[1] == 500 and grid.shape[0] > plain.shape[0] + 10
    assert (grid[-10:] == 3).all()
    assert (grid[:20] < 128).any(), 'no letter was drawn'


def test_uneven_rows_are_an_error():
    image = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match=r'rows\[1\] holds 1 .* 2 titles'):
        image_grid([[image, image], [image]], ['a', 'b'])
    with pytest.raises(ValueError, match='at least one'):
        image_grid([], [])
