import pytest
import torch
from mmengine.structures import InstanceData

from mmanchor.models import VarifocalSimOTAAssigner
from mmanchor.registry import TASK_UTILS


def iou_and_giou(a, b):
    """Of two boxes, plain numbers."""
    inter = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(
        min(a[3], b[3]) - max(a[1], b[1]), 0.0
    )
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    union = max(sum(areas) - inter, 1e-6)
    hull = max((max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1])), 1e-6)
    return inter / union, inter / union - (hull - union) / hull


def varifocal(p, q):
    """Of a probability p and a target q."""
    p, q = (torch.tensor(x, dtype=torch.float64) for x in (p, q))
    yes, no = p.log().clamp(min=-100), (1 - p).log().clamp(min=-100)
    entropy = -(q * yes + (1 - q) * no)
    return float(entropy * q if q > 0 else entropy * 0.75 * p**2)


def slow_sim_ota(boxes, scores, priors, truth, labels):
    """SimOTA in loops; the box of each prior, from 1, and the tightest gap.

    The gap is the least difference between two costs that decided anything:
    where it is tiny, two correct programs may differ.
    """
    candidates, costs, ious, gap = [], {}, {}, 1.0
    for i, (x, y, stride, _) in enumerate(priors):
        inside = []
        for x1, y1, x2, y2 in truth:
            cx, cy, r = (x1 + x2) / 2, (y1 + y2) / 2, 2.5 * stride
            inside.append(
                (x1 < x < x2 and y1 < y < y2, cx - r < x < cx + r and cy - r < y < cy + r)
            )
        if any(a or b for a, b in inside):
            candidates.append(i)
            for j, box in enumerate(truth):
                ious[i, j], giou = iou_and_giou(boxes[i], box)
                costs[i, j] = sum(
                    varifocal(p, ious[i, j] if c == labels[j] else 0.0)
                    for c, p in enumerate(scores[i])
                )
                costs[i, j] += 6 * (1 - giou) + 1e8 * (not all(inside[j]))
    taken = {}
    for j in range(len(truth)):
        total = sum(sorted(ious[i, j] for i in candidates)[-10:])
        gap = min(gap, abs(total - round(total)) if round(total) else 1.0)
        order = sorted(candidates, key=lambda i: costs[i, j])
        k = max(1, int(total))
        for i in order[:k]:
            taken.setdefault(i, []).append(j)
        if k < len(order):
            gap = min(gap, costs[order[k], j] - costs[order[k - 1], j])
    result = [0] * len(priors)
    for i, many in taken.items():
        best = min(range(len(truth)), key=lambda j: costs[i, j])
        result[i] = 1 + (many[0] if len(many) == 1 else best)
        if len(many) > 1:
            rest = [costs[i, j] for j in range(len(truth)) if j != best]
            gap = min(gap, min(rest) - costs[i, best])
    return result, gap


def random_case(seed, num_boxes, num_classes=5, size=(96, 64), tiny=False):
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64).float()

    priors = torch.cat(
        [
            torch.tensor(
                [
                    [(x + 0.5) * s, (y + 0.5) * s, s, s]
                    for y in range(size[0] // s)
                    for x in range(size[1] // s)
                ]
            )
            for s in (8, 16, 32)
        ]
    )
    scale = torch.tensor([size[1], size[0]])
    corner = rand(num_boxes, 2) * scale * 0.8
    extent = 3 * rand(num_boxes, 2) if tiny else rand(num_boxes, 2) * scale / 2
    truth = torch.cat((corner, corner + extent + 0.1), dim=1)
    # Predictions near some box, so that IoUs are of all sizes.
    near = truth[torch.randint(len(truth), (len(priors),), generator=generator)]
    boxes = near + (rand(len(priors), 4) - 0.5) * 8
    boxes = torch.cat((boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)), dim=1)
    scores = rand(len(priors), num_classes)
    labels = torch.randint(num_classes, (num_boxes,), generator=generator)
    return boxes, scores, priors, truth, labels


def assign(boxes, scores, priors, truth, labels):
    return VarifocalSimOTAAssigner().assign(
        InstanceData(bboxes=boxes, scores=scores, priors=priors),
        InstanceData(bboxes=truth, labels=labels),
    )


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('num_boxes, tiny', [(1, False), (7, False), (12, True)])
def test_it_agrees_with_a_slow_obvious_version(seed, num_boxes, tiny):
    case = random_case(seed, num_boxes, tiny=tiny)
    expected, gap = slow_sim_ota(*(each.tolist() for each in case))
    assert gap > 1e-6, 'a tie decides: choose another seed'
    result = assign(*case)
    assert result.gt_inds.tolist() == expected
    labels = [-1, *case[-1].tolist()]
    assert result.labels.tolist() == [labels[i] for i in expected]
    for i, j in enumerate(expected):
        iou = iou_and_giou(case[0][i].tolist(), case[3][j - 1].tolist())[0]
        assert float(result.max_overlaps[i]) == pytest.approx(iou if j else 0, abs=1e-6)


def test_worked_values_of_the_varifocal_cost():
    cost = VarifocalSimOTAAssigner()._varifocal_cost(
        torch.tensor([[0.5, 0.25]]), torch.tensor([0, 1, 1]), torch.tensor([[0.8, 0.5, 0.0]])
    )
    # -ln .5 = .693147, -ln .25 = 1.386294, -ln .75 = .287682
    other = [0.75 * 0.0625 * 0.287682, 0.75 * 0.25 * 0.693147]
    label = [0.8 * 0.693147, 0.5 * (0.5 * 1.386294 + 0.5 * 0.287682), other[0]]
    expected = [other[0] + label[0], other[1] + label[1], other[1] + label[2]]
    torch.testing.assert_close(
        cost[0], torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_a_perfect_prediction_counts_one_towards_k():
    # Two priors predict the box exactly and three at IoU 1/2: 3.5 gives 3.
    # Of the three, the score nearest to the IoU costs least.
    priors = torch.tensor([[4.0 + 8 * i, 4.0, 8.0, 8.0] for i in range(5)])
    truth = torch.tensor([[0.0, 0.0, 40.0, 8.0]])
    boxes = truth.repeat(5, 1)
    boxes[:3, 2] = 20.0
    scores = torch.tensor([[0.9], [0.8], [0.7], [0.5], [0.4]])
    result = assign(boxes, scores, priors, truth, torch.tensor([0]))
    assert result.gt_inds.tolist() == [0, 0, 1, 1, 1]


def test_costs_beside_the_outside_cost_still_have_digits():
    # No prior is inside the box: float32 would see 1e8 everywhere.
    priors = torch.tensor([[4.0 + 8 * i, 4.0, 8.0, 8.0] for i in range(3)])
    truth = torch.tensor([[15.0, 7.0, 16.0, 8.0]])
    boxes = torch.tensor([[10.0, 0.0, 30.0, 20.0], [14.0, 6.0, 17.0, 9.0], [0.0, 0.0, 30.0, 20.0]])
    result = assign(boxes, torch.full((3, 2), 0.5), priors, truth, torch.tensor([1]))
    assert result.gt_inds.tolist() == [0, 1, 0]


def test_the_order_of_boxes_does_not_matter():
    boxes, scores, priors, truth, labels = random_case(3, 6)
    order = torch.tensor([4, 2, 0, 5, 3, 1])
    plain = assign(boxes, scores, priors, truth, labels).gt_inds
    turned = assign(boxes, scores, priors, truth[order], labels[order]).gt_inds
    back = torch.cat((torch.tensor([0]), order + 1))[turned]
    assert torch.equal(back, plain)


@pytest.mark.parametrize('truth', [[], [[500.0, 500.0, 510.0, 510.0]]])
def test_without_candidates_nothing_is_assigned(truth):
    boxes, scores, priors, _, _ = random_case(0, 1)
    result = assign(
        boxes,
        scores,
        priors,
        torch.tensor(truth).reshape(-1, 4),
        torch.zeros(len(truth), dtype=torch.long),
    )
    assert not result.gt_inds.any()
    assert (result.labels == -1).all()
    assert not result.max_overlaps.any()


def test_a_zero_area_box_takes_one_prior():
    boxes, scores, priors, _, _ = random_case(0, 1)
    truth = torch.tensor([[20.0, 20.0, 20.0, 20.0]])
    result = assign(boxes, scores, priors, truth, torch.tensor([1]))
    assert int((result.gt_inds == 1).sum()) == 1


def test_saturated_scores_stay_finite():
    boxes, scores, priors, truth, labels = random_case(1, 4)
    result = assign(boxes, scores.round(), priors, truth, labels)
    cost = VarifocalSimOTAAssigner()._varifocal_cost(
        scores.round(), labels, torch.rand(len(scores), len(labels))
    )
    assert cost.isfinite().all()
    assert result.gt_inds.unique().tolist()[1:] == [1, 2, 3, 4]


def test_configs_find_it_from_mmdet():
    from mmdet.registry import TASK_UTILS as MMDET_TASK_UTILS

    cfg = dict(type='mmanchor.VarifocalSimOTAAssigner')
    assert isinstance(MMDET_TASK_UTILS.build(cfg), VarifocalSimOTAAssigner)
    assert TASK_UTILS.get('VarifocalSimOTAAssigner') is VarifocalSimOTAAssigner
