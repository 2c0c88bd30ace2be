"""What is exported computes what the toolboxes predict."""

import numpy as np
import pytest
import torch

import mmanchor
from mmanchor.export.graphs import build_graph, grid_centers
from mmanchor.export.verify import matched_boxes, reference
from mmanchor.utils.errors import UserError

DETECTOR = 'picodet_anchorformer-demo_1xb8-6e_demo-160'
SEGMENTOR = 'upernet_anchorformer-demo_1xb8-1100_demo-128'


@pytest.fixture(scope='module')
def detector():
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match='random'):
        return mmanchor.load(DETECTOR, device='cpu').module


@pytest.fixture(scope='module')
def segmentor():
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match='random'):
        return mmanchor.load(SEGMENTOR, device='cpu').module


def photos(*shape):
    return torch.randint(0, 256, (*shape[:1], 3, *shape[1:]), dtype=torch.uint8)


@pytest.mark.parametrize('size', [(160, 160), (150, 101)])
def test_decoded_boxes_are_those_of_the_head(detector, size):
    images = photos(2, *size)
    with torch.no_grad():
        boxes, scores = build_graph(detector, 'detection', 'decode')(images)
    raw = build_graph(detector, 'detection', 'raw')
    for image, sample in enumerate(reference(raw, 'detection', images)):
        truth = sample.pred_instances
        assert len(truth)
        # Every box that is predicted is among all boxes, with its score.
        for box, score, label in zip(truth.bboxes, truth.scores, truth.labels, strict=True):
            near = (boxes[image] - box).abs().amax(1) < 1e-3
            assert (scores[image, label, near] - score).abs().min() < 1e-6


@pytest.mark.parametrize('size', [(64, 64), (57, 83)])
def test_labels_are_those_of_the_segmentor(segmentor, size):
    images = photos(2, *size)
    graph = build_graph(segmentor, 'segmentation', 'labels')
    with torch.no_grad():
        (labels,) = graph(images)
    assert labels.dtype == torch.uint8
    for mask, sample in zip(labels, reference(graph, 'segmentation', images), strict=True):
        assert torch.equal(mask.long(), sample.pred_sem_seg.data[0])


def test_normalized_images_give_the_same(segmentor):
    images = photos(1, 48, 48)
    outside = build_graph(segmentor, 'segmentation', 'logits', uint8=False)
    preprocessing = outside.preprocessing
    normalized = (images.float()[:, [2, 1, 0]] - preprocessing.mean) / preprocessing.std
    with torch.no_grad():
        wanted = build_graph(segmentor, 'segmentation', 'logits')(images)
        assert torch.equal(outside(normalized)[0], wanted[0])


def test_centers_are_those_of_mmdet(detector):
    maps = [torch.zeros(1, 1, *size) for size in ((4, 6), (2, 3), (1, 2), (1, 1))]
    priors = detector.bbox_head.prior_generator.grid_priors(
        [x.shape[2:] for x in maps], device='cpu'
    )
    centers, _ = grid_centers(maps, (8, 16, 32, 64))
    assert torch.equal(centers, torch.cat(priors))


def test_results_of_another_task_are_refused(segmentor):
    with pytest.raises(UserError, match='--with nms is not for segmentation; choose labels or'):
        build_graph(segmentor, 'segmentation', 'nms')


def test_boxes_are_matched_one_to_one():
    one = (np.array([[0.0, 0, 10, 10]]), np.array([0.5]), np.array([1]))
    twice = tuple(np.concatenate((each, each)) for each in one)
    assert matched_boxes(twice, one) == 1
    other = (one[0], one[1], np.array([2]))
    assert matched_boxes(other, one) == 0
    assert matched_boxes((one[0], one[1] + 0.02, one[2]), one) == 0
