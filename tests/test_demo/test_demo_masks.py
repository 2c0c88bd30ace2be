"""Polygons, run lengths and boxes say what the mask says."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmanchor.demo.scenes import SceneStyle
from mmanchor.demo.scenes.masks import mask_to_box, mask_to_polygons, mask_to_rle
from mmanchor.demo.scenes.rendering import render
from mmanchor.demo.scenes.scenes import random_scene


def rasterise(polygons: list, shape: tuple) -> np.ndarray:
    """What pycocotools makes of polygons."""
    runs = coco_mask.frPyObjects(polygons, *shape)
    return coco_mask.decode(coco_mask.merge(runs)).astype(bool)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


def disc(shape: tuple, x: int, y: int, radius: int) -> np.ndarray:
    canvas = np.zeros(shape, np.uint8)
    return cv2.circle(canvas, (x, y), radius, 1, -1).astype(bool)


@pytest.mark.parametrize(
    'mask',
    [np.ones((1, 1), bool), np.ones((1, 60), bool), np.ones((7, 5), bool), np.eye(9, dtype=bool)],
)
def test_small_masks_are_traced_exactly(mask: np.ndarray) -> None:
    mask = np.pad(mask, 3)
    assert (rasterise(mask_to_polygons(mask), mask.shape) == mask).all()


def test_mask_that_fills_the_image_is_traced_exactly() -> None:
    mask = np.ones((40, 50), bool)
    assert (rasterise(mask_to_polygons(mask), mask.shape) == mask).all()


def test_hole_stays_a_hole() -> None:
    mask = disc((64, 80), 40, 30, 25) & ~disc((64, 80), 45, 32, 12)
    polygons = mask_to_polygons(mask)
    assert len(polygons) == 1
    traced = rasterise(polygons, mask.shape)
    assert not traced[32, 45]
    assert overlap(traced, mask) > 0.97


def test_two_holes_stay_holes() -> None:
    mask = disc((64, 80), 40, 30, 28)
    mask &= ~disc((64, 80), 30, 30, 6) & ~disc((64, 80), 52, 32, 8)
    traced = rasterise(mask_to_polygons(mask), mask.shape)
    assert overlap(traced, mask) > 0.97


def test_mask_cut_in_two_gives_two_polygons() -> None:
    mask = disc((64, 64), 30, 30, 20)
    mask[:, 28:33] = False
    polygons = mask_to_polygons(mask)
    assert len(polygons) == 2
    assert overlap(rasterise(polygons, mask.shape), mask) > 0.97


@pytest.mark.parametrize('corner', [False, True])
def test_run_lengths_are_those_of_coco(corner: bool) -> None:
    mask = np.random.default_rng(0).random((13, 17)) < 0.4
    mask[0, 0] = corner
    rle = mask_to_rle(mask)
    assert rle['size'] == [13, 17]
    assert sum(rle['counts']) == mask.size
    decoded = coco_mask.decode(coco_mask.frPyObjects(rle, 13, 17))
    assert (decoded == mask).all()


def test_box_counts_whole_pixels() -> None:
    mask = np.zeros((20, 30), bool)
    mask[4:9, 10:12] = True
    assert mask_to_box(mask) == [10.0, 4.0, 2.0, 5.0]


def test_polygons_of_scenes_agree_with_visible_masks() -> None:
    style, split = SceneStyle(), 0
    for index in range(40):
        rng = np.random.default_rng([3, index])
        scene = random_scene(rng, index, (96, 128), style)
        for instance in render(scene, style).instances:
            polygons = mask_to_polygons(instance.mask)
            assert min(map(len, polygons)) >= 6
            split += len(polygons) > 1
            traced = rasterise(polygons, instance.mask.shape)
            assert overlap(traced, instance.mask) > 0.9
    assert split > 5  # Objects that others cut in parts.
