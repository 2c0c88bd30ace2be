"""The crop around objects, seen through images of coordinates."""

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.registry import TRANSFORMS

HEIGHT, WIDTH = 60, 90
BOXES = [[10.0, 10.0, 40.0, 50.0], [60.0, 5.0, 64.0, 9.0], [30.0, 20.0, 89.0, 59.0]]


def build(**options):
    return TRANSFORMS.build(dict(type='mmanchor.RandomObjectCrop', **options))


def crop(transform, seed, boxes=BOXES, crowd=(), size=(HEIGHT, WIDTH)):
    """Crop; returns the results and the patch (left, top, right, bottom)."""
    np.random.seed(seed)
    # Every pixel knows where it was.
    image = np.stack(np.mgrid[: size[0], : size[1]], axis=2)
    boxes = torch.tensor(boxes).reshape(-1, 4)
    results = transform(
        dict(
            img=image,
            gt_bboxes=HorizontalBoxes(boxes),
            gt_bboxes_labels=np.arange(len(boxes)),
            gt_ignore_flags=np.isin(np.arange(len(boxes)), crowd),
        )
    )
    image = results['img']
    (top, left), (bottom, right) = image[0, 0], image[-1, -1] + 1
    assert image.shape[:2] == (bottom - top, right - left)
    return results, (left, top, right, bottom)


def iou(box, patch):
    sides = [max(min(box[i + 2], patch[i + 2]) - max(box[i], patch[i]), 0) for i in (0, 1)]
    inside = sides[0] * sides[1]
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, patch)]
    return inside / (sum(areas) - inside)


@pytest.mark.parametrize('threshold', [0.0, 0.3, 0.7])
def test_some_box_overlaps_as_asked(threshold):
    transform = build(thresholds=[threshold], allow_no_crop=False)
    cropped = 0
    for seed in range(60):
        results, patch = crop(transform, seed)
        if patch == (0, 0, WIDTH, HEIGHT):
            continue
        cropped += 1
        assert max(iou(box, patch) for box in BOXES) >= threshold
        assert len(results['gt_bboxes'])
    assert cropped > 10


def test_boxes_follow_the_patch():
    for seed in range(60):
        results, (left, top, right, bottom) = crop(build(), seed)
        expected = {}
        for index, (x1, y1, x2, y2) in enumerate(BOXES):
            if left <= (x1 + x2) / 2 < right and top <= (y1 + y2) / 2 < bottom:
                expected[index] = [
                    max(x1, left) - left,
                    max(y1, top) - top,
                    min(x2, right) - left,
                    min(y2, bottom) - top,
                ]
        assert results['gt_bboxes_labels'].tolist() == list(expected)
        assert results['gt_bboxes'].tensor.tolist() == list(expected.values())
        assert len(results['gt_ignore_flags']) == len(expected)


def test_patches_keep_to_their_ranges():
    transform = build(scaling=(0.5, 0.8), num_attempts=2000)
    patches = transform._draw(600, 900)
    across = (patches[:, 2] - patches[:, 0]) / 900
    down = (patches[:, 3] - patches[:, 1]) / 600
    scale = np.sqrt(across * down)
    assert 0.49 < scale.min() < 0.51 and 0.79 < scale.max() < 0.81
    assert 0.49 < (across / down).min() < 0.52
    assert 1.9 < (across / down).max() < 2.03
    assert patches.min() == 0 and max(across.max(), down.max()) <= 1
    assert (patches[:, 2:] <= (900, 600)).all()


def test_sometimes_nothing_is_cropped():
    whole = (0, 0, WIDTH, HEIGHT)
    patches = [crop(build(), seed)[1] for seed in range(300)]
    assert 1 / 7 < patches.count(whole) / 300 < 0.35


@pytest.mark.parametrize('boxes, crowd', [([], []), (BOXES, [0, 1, 2])])
def test_images_without_boxes_stay(boxes, crowd):
    for seed in range(20):
        results, patch = crop(build(), seed, boxes, crowd)
        assert patch == (0, 0, WIDTH, HEIGHT)
        assert len(results['gt_bboxes']) == len(boxes)


@pytest.mark.parametrize('size', [(1, 1), (1, 50), (3, 2)])
def test_tiny_images_survive(size):
    box = [[0.0, 0.0, size[1], size[0]]]
    for seed in range(20):
        results, _ = crop(build(), seed, box, size=size)
        assert results['img'].size and len(results['gt_bboxes']) == 1


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r'scaling .* got'):
        build(scaling=(0, 1))
    with pytest.raises(ValueError, match=r'aspect_ratio .* got'):
        build(aspect_ratio=(2, 3))
    with pytest.raises(ValueError, match='without masks'):
        build()(dict(gt_masks=1))
