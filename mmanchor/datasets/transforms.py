"""Transforms that mmdet lacks."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import autocast_box_type

from ..registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomObjectCrop(BaseTransform):
    """Crop a part of the image that shows some object well.

    PaddleDetection trains PicoDet with this crop (``RandomCrop``). It goes
    through the thresholds and "no crop" in random order and takes the first
    for which one of some random patches has at least that IoU with **some**
    box and holds the center of a box. mmdet's ``MinIoURandomCrop`` wants the
    IoU with **every** box, so that it seldom crops where there are several,
    and was measured to take twenty times as long, more than decoding does.

    Boxes are cut at the border of the patch, and left out if their center is
    outside of it. Images without boxes, crowds apart, stay as they are.

    Args:
        thresholds: IoUs of patch and box to choose from, in [0, 1].
        scaling: Range of the patch's side over the image's, where both
            sides shrink alike; in (0, 1].
        aspect_ratio: Range of width over height of the patch, relative to
            the image's.
        num_attempts: Patches that are tried for each threshold.
        allow_no_crop: Whether "no crop" is one of the choices.
    """

    def __init__(
        self,
        thresholds: Sequence[float] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9),
        scaling: tuple[float, float] = (0.3, 1.0),
        aspect_ratio: tuple[float, float] = (0.5, 2.0),
        num_attempts: int = 50,
        allow_no_crop: bool = True,
    ) -> None:
        if not 0 < scaling[0] <= scaling[1] <= 1:
            raise ValueError(f'scaling must be a range within (0, 1], got {scaling}')
        if not 0 < aspect_ratio[0] <= 1 <= aspect_ratio[1]:
            raise ValueError(f'aspect_ratio must be a positive range around 1, got {aspect_ratio}')
        self.thresholds = tuple(thresholds)
        self.scaling = scaling
        self.aspect_ratio = aspect_ratio
        self.num_attempts = num_attempts
        self.allow_no_crop = allow_no_crop

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Crop image and boxes.

        Args:
            results: With ``img`` (H, W, C), ``gt_bboxes``,
                ``gt_bboxes_labels`` and ``gt_ignore_flags``.

        Returns:
            The same, cropped.

        Raises:
            ValueError: If there are masks, which are not cropped.
        """
        if {'gt_masks', 'gt_seg_map'} & results.keys():
            raise ValueError(
                'RandomObjectCrop crops boxes only; load the annotations without masks'
            )
        boxes = results['gt_bboxes'].numpy()
        crowd = np.asarray(results['gt_ignore_flags'], bool)
        patch = self._choose(boxes[~crowd], results['img'].shape[:2])
        if patch is None:
            return results
        left, top, right, bottom = patch
        kept = _centers_inside(boxes, patch[None])[:, 0]
        results['img'] = results['img'][top:bottom, left:right]
        results['img_shape'] = (bottom - top, right - left)
        cropped = results['gt_bboxes'][kept]
        cropped.translate_([-left, -top])
        cropped.clip_(results['img_shape'])
        results['gt_bboxes'] = cropped
        for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
            results[key] = results[key][kept]
        return results

    def _choose(self, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
        """The patch (left, top, right, bottom); ``None`` for no crop."""
        choices = [*self.thresholds] + [None] * self.allow_no_crop
        for index in np.random.permutation(len(choices)):
            if choices[index] is None or not len(boxes):
                return None
            patches = self._draw(*size)
            fits = _overlaps(boxes, patches).max(axis=0) >= choices[index]
            fits &= _centers_inside(boxes, patches).any(axis=0)
            if fits.any():
                return patches[fits.argmax()]
        return None

    def _draw(self, height: int, width: int) -> np.ndarray:
        """Random patches, (attempts, 4)."""
        scale = np.random.uniform(*self.scaling, self.num_attempts)
        # No side may be longer than the image's.
        ratio = np.sqrt(
            np.random.uniform(
                np.maximum(self.aspect_ratio[0], scale**2),
                np.minimum(self.aspect_ratio[1], scale**-2),
            )
        )
        sides = np.stack([width * scale * ratio, height * scale / ratio], 1)
        sides = np.minimum(sides.astype(int), (width, height))
        corner = np.random.randint(0, np.maximum(np.array((width, height)) - sides, 1))
        return np.concatenate([corner, corner + sides], axis=1)


def _overlaps(boxes: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """IoU of boxes (N, 4) and patches (P, 4), (N, P)."""
    first, second = boxes[:, None], patches[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    inside = sides.clip(min=0).prod(axis=2)
    areas = [(each[..., 2:] - each[..., :2]).prod(axis=2) for each in (first, second)]
    return inside / np.maximum(areas[0] + areas[1] - inside, 1e-9)


def _centers_inside(boxes: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """Whether patches (P, 4) hold the centers of boxes (N, 4), (N, P)."""
    centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    return ((patches[:, :2] <= centers) & (centers < patches[:, 2:])).all(axis=2)
