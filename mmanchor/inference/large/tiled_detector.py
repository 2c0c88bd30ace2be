"""Detectors on large images, tile by tile."""

import copy
from collections.abc import Iterator

import torch
from mmengine.structures import InstanceData

from ...utils.errors import UserError
from ...utils.inputs import Frame
from ..detection import DetectionResult, Detector
from ..model import Model
from ..results import Origin, Result

# Of two boxes of a class, the worse goes if this share of the smaller one lies
# in both. Unlike the intersection over the union, it also finds the part of an
# object that the edge of a tile has cut off.
MERGE_SHARE = 0.5


class TiledDetector(Detector):
    """A detector that looks at an image tile by tile.

    What a tile does not hold is not seen in it: this is a tiling, as users of
    SAHI know it, and not the detector's result on the whole image.

    Attributes:
        tile: Side of a tile in pixels.
        overlap: Share of a tile that overlaps with the next one.
        batch_size: Tiles at once.
    """

    tile: int
    overlap: float
    batch_size: int

    @classmethod
    def of(cls, model: Model, tile: int, overlap: float, batch_size: int = 1) -> 'TiledDetector':
        """The same model in tiles.

        Raises:
            UserError: If it is an exported file or gives masks.
        """
        if model.module is None or getattr(model.module, 'with_mask', False):
            raise UserError('tile is for detectors of boxes with a config and a checkpoint')
        own = copy.copy(model)
        own.__class__ = cls
        own.tile, own.overlap, own.batch_size = tile, overlap, batch_size
        return own

    def _predict(self, frames: list[Frame], score_thr: float) -> list[Result]:
        return [self._one(frame, score_thr) for frame in frames]

    def _one(self, frame: Frame, score_thr: float) -> Result:
        """The boxes of all tiles of an image, joined."""
        image = frame.image
        assert image is not None  # run() leaves unreadable ones out
        corners = list(tile_corners(image.shape[:2], self.tile, self.overlap))
        tiles = [
            Frame(frame.name, frame.file, image[y : y + self.tile, x : x + self.tile])
            for y, x in corners
        ]
        found: list[Result] = []
        for start in range(0, len(tiles), self.batch_size):
            found += super()._predict(tiles[start : start + self.batch_size], score_thr)
        best = max(each.highest_score for each in found)
        parts = []
        for result, (y, x) in zip(found, corners, strict=True):
            assert isinstance(result, DetectionResult)
            boxes = torch.from_numpy(result.boxes) + torch.tensor([x, y, x, y])
            instances = result.pred_instances
            parts.append(
                InstanceData(bboxes=boxes, scores=instances.scores, labels=instances.labels)
            )
        merged = merge_boxes(InstanceData.cat(parts))
        sample = found[0].clone()
        sample.pred_instances = merged
        sample.set_metainfo(dict(ori_shape=image.shape[:2], img_shape=image.shape[:2]))
        result = self.result_type.of(sample, Origin(frame, self.classes, self.palette), score_thr)
        result.set_metainfo(dict(highest_score=best))
        return result


def tile_corners(size: tuple[int, int], tile: int, overlap: float) -> Iterator[tuple[int, int]]:
    """Top and left of tiles that cover an image; the last ones end at its edge.

    Args:
        size: (H, W) of the image.
        tile: Side of a tile.
        overlap: Share of a tile that overlaps with the next one.

    Example:
        >>> list(tile_corners((10, 25), 10, 0.2))
        [(0, 0), (0, 8), (0, 15)]
    """
    step = max(1, tile - round(tile * overlap))
    starts = [
        sorted(
            {
                min(start, max(0, side - tile))
                for start in range(0, max(1, side - tile + step), step)
            }
        )
        for side in size
    ]
    return ((y, x) for y in starts[0] for x in starts[1])


def merge_boxes(found: InstanceData) -> InstanceData:
    """Leave out boxes that lie mostly in a better one of their class, or hold it.

    Args:
        found: ``bboxes`` (n, 4), ``scores`` and ``labels``.

    Returns:
        Those that are left, best first.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0, 10, 10], [4, 0, 10, 10], [20, 0, 30, 10]])
        >>> labels = torch.zeros(3, dtype=torch.long)
        >>> found = InstanceData(bboxes=boxes, scores=torch.tensor([0.9, 0.8, 0.7]), labels=labels)
        >>> merge_boxes(found).scores.tolist()
        [0.8999999761581421, 0.699999988079071]
    """
    found = found[found.scores.argsort(descending=True, stable=True)]
    boxes = found.bboxes.double()
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    alive = torch.ones(len(boxes), dtype=torch.bool)
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        corner = torch.maximum(boxes[i + 1 :, :2], boxes[i, :2])
        shared = (torch.minimum(boxes[i + 1 :, 2:], boxes[i, 2:]) - corner).clamp(min=0).prod(1)
        smaller = torch.minimum(area[i + 1 :], area[i]).clamp(min=1e-9)
        same = found.labels[i + 1 :] == found.labels[i]
        alive[i + 1 :] &= ~(same & (shared / smaller > MERGE_SHARE))
    return found[alive]
