"""Non-maximum suppression."""

from torch import Tensor

from .torchvision_ops import OPS, in_one_precision


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4), corners (x1, y1, x2, y2) in pixels.
        scores: (N,).
        iou_threshold: A box goes if its IoU with a better one exceeds this.
        offset: 0, or 1 where a side is ``x2 - x1 + 1`` pixels long.

    Returns:
        Indices of the boxes kept, best first, (K,), int64.
    """
    boxes, scores = in_one_precision(boxes, scores)
    # Sides of x2 - x1 + 1 are those of a box whose far corner lies 1 further.
    boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return OPS.nms(boxes, scores, float(iou_threshold))
