import numpy as np

from mmanchor.visualization import write_names


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
