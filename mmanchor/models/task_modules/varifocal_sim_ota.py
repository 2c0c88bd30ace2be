"""SimOTA with PicoDet's costs."""

from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult, SimOTAAssigner
from mmengine.structures import InstanceData
from torch import Tensor

from ...registry import TASK_UTILS

# Ranks priors outside a box or its center square behind all priors inside.
OUTSIDE_COST = 1e8


@TASK_UTILS.register_module()
class VarifocalSimOTAAssigner(SimOTAAssigner):
    r"""Assign each box to the few priors that predict it at the lowest cost.

    SimOTA (arXiv 2107.08430) as in PicoDet (arXiv 2111.00902). A prior is a
    candidate if its center is strictly inside any box or any box's center
    square. For candidate i and box j,

    .. math:: c_{ij} = \mathrm{VFL}_{ij} + \lambda (1 - \mathrm{GIoU}_{ij})
        + 10^8 [\text{i is not both in box j and in its center square}]

    where VFL is the varifocal loss over all classes, with the IoU as the
    target of the box's label. A box takes its k cheapest candidates; k is the
    sum of its 10 largest IoUs, rounded down, and at least 1. A candidate that
    several boxes take goes to the box with the lowest cost.

    The candidates come from mmdet's ``SimOTAAssigner``, whose costs are other
    ones: the cross entropy of a hard target, -3 log IoU, and 1e5 outside.
    Costs are float64 here, since float32 cannot hold a cost beside 1e8, and
    all boxes are matched at once.

    Args:
        center_radius: Half the side of the center square, in strides.
        candidate_topk: How many of the largest IoUs are summed.
        iou_weight: :math:`\lambda`.
        cls_weight: Weight of the varifocal loss.
        alpha: Weight of the negatives in the varifocal loss.
        gamma: Exponent of the negatives in the varifocal loss.
        iou_calculator: Config of mmdet's IoU calculator; ``None`` takes
            ``BboxOverlaps2D``.

    Example:
        >>> priors = torch.tensor([[4.0, 4.0, 8.0, 8.0], [12.0, 4.0, 8.0, 8.0]])
        >>> found = InstanceData(
        ...     priors=priors,
        ...     scores=torch.full((2, 3), 0.5),
        ...     bboxes=torch.tensor([[0.0, 0.0, 9.0, 8.0], [8.0, 0.0, 16.0, 8.0]]),
        ... )
        >>> truth = InstanceData(
        ...     bboxes=torch.tensor([[0.0, 0.0, 8.0, 8.0]]), labels=torch.tensor([2])
        ... )
        >>> result = VarifocalSimOTAAssigner().assign(found, truth)
        >>> result.gt_inds, result.labels
        (tensor([1, 0]), tensor([ 2, -1]))
    """

    def __init__(
        self,
        center_radius: float = 2.5,
        candidate_topk: int = 10,
        iou_weight: float = 6.0,
        cls_weight: float = 1.0,
        alpha: float = 0.75,
        gamma: float = 2.0,
        iou_calculator: dict | None = None,
    ) -> None:
        iou_calculator = iou_calculator or dict(type='mmdet.BboxOverlaps2D')
        super().__init__(center_radius, candidate_topk, iou_weight, cls_weight, iou_calculator)
        self.alpha = alpha
        self.gamma = gamma

    @torch.no_grad()
    def assign(
        self, pred_instances: InstanceData, gt_instances: InstanceData, *args: Any, **kwargs: Any
    ) -> AssignResult:
        """Assign the priors of one image to its boxes.

        Args:
            pred_instances: ``bboxes``, decoded boxes (P, 4), x1 y1 x2 y2 in
                pixels; ``scores``, probabilities (P, classes); ``priors``,
                (P, 4): center x, center y, and twice the stride, in pixels.
            gt_instances: ``bboxes`` (G, 4) and ``labels`` (G,).
            *args: Ignored.
            **kwargs: Ignored.

        Returns:
            For each prior: ``gt_inds``, 0 for background, else the box
            counted from 1; ``max_overlaps``, the IoU with that box, else 0;
            ``labels``, the label of the box, else -1.
        """
        boxes, labels = gt_instances.bboxes, gt_instances.labels
        num_priors, num_boxes = len(pred_instances.priors), len(boxes)
        gt_inds = labels.new_zeros(num_priors, dtype=torch.long)
        overlaps = pred_instances.bboxes.new_zeros(num_priors)
        assigned = torch.full_like(gt_inds, -1)
        result = AssignResult(num_boxes, gt_inds, overlaps, labels=assigned)
        if not num_boxes or not num_priors:
            return result
        candidates, inside = self.get_in_gt_and_in_center_info(pred_instances.priors, boxes)
        candidates = candidates.nonzero()[:, 0]
        if not len(candidates):
            return result

        predicted = pred_instances.bboxes[candidates]
        ious = self.iou_calculator(predicted, boxes)  # (V, G)
        gious = self.iou_calculator(predicted, boxes, mode='giou')
        cost = self.cls_weight * self._varifocal_cost(
            pred_instances.scores[candidates], labels, ious
        )
        cost = cost + self.iou_weight * (1 - gious.double())
        cost = cost + OUTSIDE_COST * ~inside
        taken, box = self._match(cost, ious)

        positive = candidates[taken]
        gt_inds[positive] = box + 1
        overlaps[positive] = ious[taken, box].to(overlaps.dtype)
        assigned[positive] = labels[box]
        return result

    def _varifocal_cost(self, scores: Tensor, labels: Tensor, ious: Tensor) -> Tensor:
        """Varifocal loss of every pair, summed over classes.

        Only the class of the label differs between boxes, so the sum over all
        classes is computed once per prior.

        Args:
            scores: Probabilities, (V, classes).
            labels: (G,).
            ious: (V, G).

        Returns:
            (V, G), float64.
        """
        scores, ious = scores.double(), ious.double()
        # The logarithm stops at -100, as in torch's binary cross entropy.
        yes = scores.log().clamp(min=-100)
        no = (-scores).log1p().clamp(min=-100)
        negative = -self.alpha * scores**self.gamma * no  # (V, classes)
        others = negative.sum(1, keepdim=True) - negative[:, labels]
        yes, no = yes[:, labels], no[:, labels]  # (V, G)
        positive = -ious * (ious * yes + (1 - ious) * no)
        return others + torch.where(ious > 0, positive, negative[:, labels])

    def _match(self, cost: Tensor, ious: Tensor) -> tuple[Tensor, Tensor]:
        """Choose pairs of candidate and box.

        Args:
            cost: (V, G).
            ious: (V, G).

        Returns:
            Indices of the candidates, increasing, and of their boxes.
        """
        most = min(self.candidate_topk, len(cost))
        # k is at most the number of IoUs that are summed.
        num = ious.topk(most, dim=0).values.sum(0).int().clamp(min=1)  # (G,)
        cheapest = cost.topk(most, dim=0, largest=False).indices
        rank = torch.arange(most, device=cost.device)
        chosen = torch.zeros_like(cost, dtype=torch.bool)
        chosen.scatter_(0, cheapest, rank[:, None] < num)
        conflict = chosen.sum(1, keepdim=True) > 1
        best = torch.zeros_like(chosen).scatter_(1, cost.argmin(1, keepdim=True), True)
        taken, box = torch.where(conflict, best, chosen).nonzero(as_tuple=True)
        return taken, box
