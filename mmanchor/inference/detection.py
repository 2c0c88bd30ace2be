"""Detectors of mmdet."""

from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import BaseDataElement, InstanceData

from ..utils.errors import UserError
from ..visualization import draw_boxes, overlay_mask
from .model import Model
from .results import Origin, Result

BOX_OPACITY = 0.15
MASK_OPACITY = 0.5


class DetectionResult(Result, DetDataSample):
    """Boxes, best first; also in ``pred_instances``, as mmdet has them."""

    @classmethod
    def of(cls, sample: BaseDataElement, origin: Origin, score_thr: float) -> 'DetectionResult':
        """Take over a data sample; boxes below ``score_thr`` are left out."""
        result = super().of(sample, origin, score_thr)
        found = sample.get('pred_instances')
        if found is None or 'scores' not in found:
            raise UserError('the model gives no boxes with scores (pred_instances)')
        best = found.scores.max().item() if len(found) else 0.0
        result.set_metainfo(dict(score_thr=score_thr, highest_score=best))
        found = found[found.scores >= score_thr]
        result.pred_instances = found[found.scores.argsort(descending=True, stable=True)]
        return result

    def _found(self) -> InstanceData:
        return self.pred_instances.cpu()

    def __len__(self) -> int:
        return len(self.pred_instances)

    @property
    def boxes(self) -> np.ndarray:
        """(n, 4) float32: left, top, right, bottom (pixels of the image)."""
        boxes = self._found().bboxes
        return np.asarray(getattr(boxes, 'tensor', boxes), np.float32).reshape(-1, 4)

    @property
    def scores(self) -> np.ndarray:
        """(n,) float32, 0 to 1, descending."""
        return np.asarray(self._found().scores, np.float32)

    @property
    def labels(self) -> np.ndarray:
        """(n,) integers, indices into ``classes``."""
        return np.asarray(self._found().labels)

    @property
    def names(self) -> list[str]:
        """The class name of each box."""
        return [self.classes[label] for label in self.labels.tolist()]

    @property
    def masks(self) -> np.ndarray | None:
        """(n, H, W) bool; ``None`` if the model predicts boxes only."""
        found = self._found()
        return np.asarray(found.masks, bool) if 'masks' in found else None

    def draw(self) -> np.ndarray:
        """The image with boxes, names, scores, and masks if there are any.

        Returns:
            (H, W, 3) uint8, RGB.
        """
        image, masks, opacity = self.image, self.masks, BOX_OPACITY
        if masks is not None:
            opacity = 0.0
            shown = np.full(image.shape[:2], -1)
            # The best comes last, over the others.
            for mask, label in zip(masks[::-1], self.labels[::-1], strict=True):
                shown[mask] = label
            image = overlay_mask(image, shown, self.origin.palette, MASK_OPACITY, -1)
        return draw_boxes(
            image,
            self.boxes,
            self.labels.tolist(),
            self.classes,
            self.origin.palette,
            self.scores.tolist(),
            opacity=opacity,
        )

    def annotations(self) -> list[dict[str, Any]]:
        """The boxes as COCO's annotations.

        Returns:
            One dict per box, best first: ``category_id`` (from 0, as the
            labels), ``bbox`` (x, y, width, height in pixels), ``area``,
            ``score``, and ``segmentation`` if the model predicts masks.
        """
        out, masks = [], self.masks
        for index, (box, label, score) in enumerate(
            zip(self.boxes.tolist(), self.labels.tolist(), self.scores.tolist(), strict=True)
        ):
            x1, y1, x2, y2 = (round(value, 3) for value in box)
            one: dict[str, Any] = dict(
                category_id=label,
                bbox=[x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)],
                area=round((x2 - x1) * (y2 - y1), 3),
                iscrowd=0,
                score=round(score, 6),
            )
            if masks is not None:
                one['segmentation'] = _encode(masks[index])
            out.append(one)
        return out


class Detector(Model):
    """A detector of mmdet."""

    task = 'detection'
    result_type = DetectionResult

    def _num_classes(self) -> int | None:
        roi_head = getattr(self.module, 'roi_head', None)
        head = getattr(self.module, 'bbox_head', None) or getattr(roi_head, 'bbox_head', None)
        head = head[-1] if isinstance(head, torch.nn.ModuleList) else head
        return getattr(head, 'num_classes', None)


def _encode(mask: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) as COCO's compressed run lengths."""
    from pycocotools import mask as coco_mask

    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=code['size'], counts=code['counts'].decode())
