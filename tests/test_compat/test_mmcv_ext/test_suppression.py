"""Soft and matching NMS and overlaps agree with their definitions."""

import math

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms, bbox_overlaps, nms_match, soft_nms

from mmanchor.compat import mmcv_ops

fallback_only = pytest.mark.skipif(
    mmcv_ops.has_compiled_ops(), reason='mmcv has compiled operators here'
)


def random_boxes(count=40, seed=0):
    """Boxes with whole corners, and scores that all differ."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 30, (count, 2), generator=generator)
    sides = torch.randint(1, 20, (count, 2), generator=generator)
    scores = (torch.randperm(count, generator=generator) + 1) / count
    return torch.cat([corners, corners + sides], 1).float(), scores


def iou(a, b, offset=0):
    def side(low, high):
        return max(high - low + offset, 0)

    inner = side(max(a[0], b[0]), min(a[2], b[2])) * side(max(a[1], b[1]), min(a[3], b[3]))
    areas = [side(c[0], c[2]) * side(c[1], c[3]) for c in (a, b)]
    return inner / (sum(areas) - inner)


def plain_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset):
    """Take the best, lower the others, drop the hopeless, until none is left."""
    left, kept = dict(enumerate(scores)), []
    while left:
        best = max(left, key=left.get)
        kept.append((best, left.pop(best)))
        for other in list(left):
            overlap = iou(boxes[best], boxes[other], offset)
            if method == 'gaussian':
                left[other] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                left[other] *= 0 if method == 'naive' else 1 - overlap
            if left[other] < min_score:
                del left[other]
    return kept


@pytest.mark.smoke
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_lowers_scores_as_defined(method, offset):
    boxes, scores = random_boxes()
    dets, kept = soft_nms(boxes, scores, 0.3, 0.5, 0.05, method, offset)
    expected = plain_soft_nms(boxes.tolist(), scores.tolist(), 0.3, 0.5, 0.05, method, offset)
    assert kept.tolist() == [index for index, _ in expected]
    torch.testing.assert_close(dets[:, 4], torch.tensor([score for _, score in expected]))
    assert torch.equal(dets[:, :4], boxes[kept])


def test_soft_nms_of_boxes_without_area_keeps_them():
    # The example of mmcv's docstring: five of six boxes stay.
    boxes = np.array([[4, 3, 5, 3], [4, 3, 5, 4], *[[3, 1, 3, 1]] * 4], dtype=np.float32)
    scores = np.array([0.9, 0.9, 0.5, 0.5, 0.4, 0.0], dtype=np.float32)
    dets, kept = soft_nms(boxes, scores, 0.6, sigma=0.5)
    assert len(dets) == len(kept) == 5 and isinstance(dets, np.ndarray)


def test_soft_nms_of_no_boxes_is_empty():
    dets, kept = soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert dets.shape == (0, 5) and kept.shape == (0,)


def test_batched_nms_takes_soft_nms():
    boxes, scores = random_boxes()
    config = dict(type='soft_nms', iou_threshold=0.3, min_score=0.05)
    dets, kept = batched_nms(boxes, scores, torch.zeros(40, dtype=torch.long), config)
    assert torch.equal(dets[:, :4], boxes[kept])
    assert len(kept) > len(batched_nms(boxes, scores, scores * 0, dict(iou_threshold=0.3))[1])


def test_nms_match_groups_boxes_with_what_suppresses_them():
    boxes, scores = random_boxes()
    groups = nms_match(torch.cat([boxes, scores[:, None]], 1), 0.4)
    left = sorted(range(40), key=lambda index: -scores[index])
    expected = []
    while left:
        near = [i for i in left[1:] if iou(boxes[left[0]].tolist(), boxes[i].tolist()) >= 0.4]
        expected.append([left[0], *near])
        left = [i for i in left[1:] if i not in near]
    assert [group.tolist() for group in groups] == expected


@pytest.mark.parametrize('offset', [0, 1])
def test_overlaps_are_those_of_pairs(offset):
    boxes = random_boxes(8)[0]
    pairs = bbox_overlaps(boxes, boxes[:5], offset=offset)
    plain = [[iou(a, b, offset) for b in boxes[:5].tolist()] for a in boxes.tolist()]
    torch.testing.assert_close(pairs, torch.tensor(plain))
    aligned = bbox_overlaps(boxes[:5], boxes[3:], aligned=True, offset=offset)
    torch.testing.assert_close(aligned, pairs[3:, :5].diagonal())


def test_foreground_overlap_is_a_share_of_the_first_box():
    first, second = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 9, 9]])
    assert bbox_overlaps(first, second, mode='iof').item() == 0.5
