"""Rotated boxes and quadrilaterals: overlaps, suppression and pooling."""

import math

import pytest
import torch
from mmcv.ops import (
    box_iou_quadri,
    box_iou_rotated,
    nms_quadri,
    nms_rotated,
    roi_align,
    roi_align_rotated,
)
from torch.autograd import gradcheck

from mmanchor.compat import mmcv_ops
from mmanchor.compat.mmcv_ext import polygons

fallback_only = pytest.mark.skipif(
    mmcv_ops.has_compiled_ops(), reason='mmcv has compiled operators here'
)
# A box, and others with the share of their intersection that is known.
BOX = [10.0, 20.0, 4.0, 2.0, 0.3]


def corners(box):
    x, y, width, height, angle = box
    cos, sin = math.cos(angle), math.sin(angle)
    return [
        (
            x + a * width / 2 * cos - b * height / 2 * sin,
            y + a * width / 2 * sin + b * height / 2 * cos,
        )
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]


def area(polygon):
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return sum(a[0] * b[1] - a[1] * b[0] for a, b in pairs) / 2


def cut(polygon, other):
    """Sutherland and Hodgman: cut a polygon by each side of a convex one."""
    for a, b in zip(other, other[1:] + other[:1], strict=True):
        kept = []
        for p, q in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            at = [(b[0] - a[0]) * (r[1] - a[1]) - (b[1] - a[1]) * (r[0] - a[0]) for r in (p, q)]
            if at[0] >= 0:
                kept.append(p)
            if at[0] * at[1] < 0:
                t = at[0] / (at[0] - at[1])
                kept.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
        polygon = kept
    return polygon


def plain_iou(a, b, mode='iou'):
    shared = area(cut(a, b)) if cut(a, b) else 0.0
    return shared / (area(a) if mode == 'iof' else area(a) + area(b) - shared)


def random_boxes(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    spread = torch.tensor([20.0, 20.0, 12.0, 12.0, 6.0])
    return torch.rand(count, 5, generator=generator) * spread + torch.tensor([0, 0, 1, 1, -3.0])


def quads(boxes):
    return torch.tensor([[c for point in corners(box) for c in point] for box in boxes.tolist()])


@pytest.mark.smoke
@pytest.mark.parametrize('mode', ['iou', 'iof'])
def test_overlaps_are_those_of_cut_polygons(mode):
    first, second = random_boxes(15), random_boxes(12, seed=1)
    expected = torch.tensor(
        [[plain_iou(corners(a), corners(b), mode) for b in second.tolist()] for a in first.tolist()]
    )
    assert (expected > 0.1).sum() > 15
    got = box_iou_rotated(first, second, mode)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    got = box_iou_quadri(quads(first), quads(second), mode)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    aligned = box_iou_rotated(first[:12], second, mode, aligned=True)
    torch.testing.assert_close(aligned, expected[:12].diagonal(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ('other', 'iou'),
    [
        (BOX, 1),
        ([10, 20, 2, 4, 0.3 + math.pi / 2], 1),  # the same, written otherwise
        ([10, 20, 4, 2, 0.3 + math.pi], 1),
        ([10, 20, 4, 1, 0.3], 1 / 2),  # inside, two sides in common
        ([10 + math.cos(0.3), 20 + math.sin(0.3), 2, 2, 0.3], 1 / 2),  # three sides
        ([10 + 2 * math.cos(0.3), 20 + 2 * math.sin(0.3), 4, 2, 0.3], 1 / 3),  # shifted by half
        ([10 + 4 * math.cos(0.3), 20 + 4 * math.sin(0.3), 4, 2, 0.3], 0),  # beside it
        # A square on its corner, of which two tips stick out.
        ([10, 20, 2, 2, 0.3 + math.pi / 4], (4 * 2**0.5 - 2) / (14 - 4 * 2**0.5)),
        ([30, 20, 4, 2, 0.3], 0),
        ([10, 20, 0, 2, 0.3], 0),
    ],
)
def test_known_overlaps(other, iou):
    pair = torch.tensor([BOX]), torch.tensor([other], dtype=torch.float32)
    tolerance = dict(rel=1e-5, abs=1e-6)
    assert box_iou_rotated(*pair).item() == pytest.approx(iou, **tolerance)
    assert box_iou_rotated(*pair[::-1]).item() == pytest.approx(iou, **tolerance)


def test_direction_of_the_angle_is_a_matter_of_the_flag():
    first, second = random_boxes(6), random_boxes(6, seed=1)
    mirrored = torch.tensor([1.0, 1, 1, 1, -1])
    torch.testing.assert_close(
        box_iou_rotated(first, second, clockwise=False),
        box_iou_rotated(first * mirrored, second * mirrored),
    )


@fallback_only
def test_corners_may_come_in_either_direction():
    first, second = quads(random_boxes(5)), quads(random_boxes(5, seed=1))
    turned = second.view(-1, 4, 2).flip(1).reshape(-1, 8)
    torch.testing.assert_close(box_iou_quadri(first, turned), box_iou_quadri(first, second))


@fallback_only
def test_pairs_are_computed_in_parts(monkeypatch):
    boxes = random_boxes(9)
    whole = box_iou_rotated(boxes, boxes)
    monkeypatch.setattr(polygons, 'CHUNK', 20)
    assert torch.equal(box_iou_rotated(boxes, boxes), whole)
    assert torch.equal(whole.diagonal(), torch.ones(9))


@pytest.mark.parametrize('with_labels', [False, True])
def test_suppression_is_greedy(with_labels):
    boxes, scores = random_boxes(40), torch.randperm(40).float()
    labels = torch.arange(40) % 2 if with_labels else None
    overlaps = box_iou_rotated(boxes, boxes)
    if with_labels:
        if mmcv_ops.has_compiled_ops():
            pytest.skip('the compiled operator for the CPU ignores labels')
        overlaps[labels[:, None] != labels] = 0
    kept = []
    for index in scores.argsort(descending=True).tolist():
        if all(overlaps[index, other] <= 0.2 for other in kept):
            kept.append(index)
    dets, indices = nms_rotated(boxes, scores, 0.2, labels)
    assert indices.tolist() == kept
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], 1)[kept])
    assert nms_quadri(quads(boxes), scores, 0.2, labels)[1].tolist() == kept


@pytest.fixture
def maps():
    """Two images' feature maps in float64, 2 channels of 7 x 9 pixels."""
    return torch.randn(2, 2, 7, 9, dtype=torch.double, requires_grad=True)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_pooling_without_rotation_is_roi_align(maps, aligned, ratio):
    upright = torch.tensor([[1, 0.5, 1.2, 5.3, 6.1], [0, 2.0, 0.0, 9.5, 4.4]]).double()
    low, high = upright[:, 1:3], upright[:, 3:]
    rotated = torch.cat([upright[:, :1], (low + high) / 2, high - low, low[:, :1] * 0], 1)
    got = roi_align_rotated(maps, rotated, (2, 3), 1.0, ratio, aligned)
    expected = roi_align(maps, upright, (2, 3), 1.0, ratio, 'avg', aligned)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    weights = torch.randn_like(got)
    torch.testing.assert_close(
        torch.autograd.grad(got, maps, weights),
        torch.autograd.grad(expected, maps, weights),
        rtol=1e-6,
        atol=1e-6,
    )


@pytest.mark.parametrize('clockwise', [False, True])
def test_quarter_turn_turns_the_cells(maps, clockwise):
    box = torch.tensor([[0, 4.5, 3.5, 4.0, 2.0, math.pi / 2]]).double()
    got = roi_align_rotated(maps, box, (2, 4), 1.0, 2, True, clockwise)
    upright = torch.tensor([[0, 3.5, 1.5, 5.5, 5.5]]).double()
    expected = roi_align(maps, upright, (4, 2), 1.0, 2, 'avg', True)
    # Clockwise, cells along the box's x run downwards in the map.
    turned = torch.rot90(expected, 1 if clockwise else -1, (2, 3))
    torch.testing.assert_close(got, turned, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('ratio', [0, 2])
def test_gradients_of_pooling_are_those_of_finite_differences(maps, ratio):
    boxes = torch.tensor([[1, 4.0, 3.0, 5.0, 3.0, 0.4], [0, 5.0, 4.0, 8.0, 9.0, -1.0]]).double()
    assert gradcheck(lambda m: roi_align_rotated(m, boxes, (2, 3), 0.9, ratio), maps)


def test_no_boxes(maps):
    pooled = roi_align_rotated(maps, maps.new_zeros(0, 6), (2, 2), 1.0)
    assert pooled.shape == (0, 2, 2, 2)
    pooled.sum().backward()
    assert not maps.grad.any()
    assert box_iou_rotated(torch.zeros(0, 5), torch.zeros(3, 5)).shape == (0, 3)
