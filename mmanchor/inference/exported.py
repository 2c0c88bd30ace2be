"""Exported files as models: what ``mmanchor.load('x.onnx')`` gives."""

from importlib import import_module
from typing import Any

import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from ..runtime.model import Model as Program
from ..runtime.results import Boxes, Mask
from ..utils.errors import UserError
from ..utils.files import PathLike
from ..utils.inputs import Frame
from .model import Model
from .results import Origin, Result

_RESULTS = {
    'detection': ('.detection', 'DetectionResult'),
    'segmentation': ('.segmentation', 'SegmentationResult'),
    'classification': ('.classification', 'ClassificationResult'),
}


class ExportedModel(Model):
    """A file of ``mmanchor export`` that predicts as the model it was made from.

    Attributes:
        program: The file, opened by :mod:`mmanchor.runtime`.
        classes: Class names, in the order of the labels.
        metadata: What the file says of itself.

    Args:
        path: The file.

    Raises:
        UserError: If it cannot be run, or gives raw maps only.
    """

    # By the file, and not by the class.
    task: str  # type: ignore[misc]
    result_type: type[Result]  # type: ignore[misc]
    # It has neither.
    config = None
    module = None
    device = 'cpu'

    def __init__(self, path: PathLike) -> None:
        self.path = path
        self.program = Program(path)
        self.metadata = self.program.metadata
        if self.metadata['results'] == 'raw':
            raise UserError(
                f'{str(path)!r} gives the maps of the head (--with raw), and no boxes; export it '
                '--with nms or --with decode'
            )
        self.task = self.program.task
        module, name = _RESULTS[self.task]
        self.result_type = getattr(import_module(module, __package__), name)
        self.set_meta(dict(classes=self.program.classes))

    def set_meta(self, meta: Any) -> None:
        """Take class names and colors."""
        # Without a network there is nothing that has to be given them.
        self.module = torch.nn.Module()
        super().set_meta(meta)
        self.module = None

    def _num_classes(self) -> int:
        return len(self.program.classes)

    def _predict(self, frames: list[Frame], score_thr: float) -> list[Result]:
        results = []
        for frame in frames:
            assert frame.image is not None  # run() leaves unreadable ones out
            sample = data_sample(self.program.predict(frame.image, score_thr), frame.image.shape)
            origin = Origin(frame, self.classes, self.palette)
            results.append(self.result_type.of(sample, origin, score_thr))
        return results


def data_sample(found: Any, shape: tuple[int, ...]) -> BaseDataElement:
    """What a runtime found, as the toolbox's data sample.

    Args:
        found: What :meth:`mmanchor.runtime.Model.predict` returned.
        shape: Of the image, (H, W, ...).
    """
    meta = dict(ori_shape=shape[:2], img_shape=shape[:2])
    if isinstance(found, Boxes):
        from mmdet.structures import DetDataSample

        sample = DetDataSample(metainfo=meta)
        sample.pred_instances = InstanceData(
            bboxes=torch.from_numpy(found.boxes).float(),
            scores=torch.from_numpy(found.scores),
            labels=torch.from_numpy(found.labels),
        )
        return sample
    if isinstance(found, Mask):
        from mmseg.structures import SegDataSample

        sample = SegDataSample(metainfo=meta)
        sample.pred_sem_seg = PixelData(data=torch.from_numpy(found.mask)[None].long())
        return sample
    from mmpretrain.structures import DataSample

    sample = DataSample(metainfo=meta)
    return sample.set_pred_score(torch.from_numpy(found.scores)).set_pred_label(found.label)
