"""A segmentor of whole images in bands, with the methods of any model."""

import copy

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from ...utils.errors import UserError
from ...utils.inputs import Frame
from ..model import Model
from ..results import Origin, Result
from ..segmentation import Segmentor
from .segmenting import require_exact, segment_array, token_bytes


class BandedSegmentor(Segmentor):
    """A segmentor that goes through each image at its own size, in bands of rows."""

    @classmethod
    def of(cls, model: Model) -> 'BandedSegmentor':
        """The same model in bands.

        Raises:
            UserError: If it cannot run so.
        """
        if model._stepper is not model.module:
            raise UserError('exact and tta exclude each other')
        require_exact(model.module)
        own = copy.copy(model)
        own.__class__ = cls
        return own

    def _predict(self, frames: list[Frame], score_thr: float) -> list[Result]:
        results = []
        for frame in frames:
            assert frame.image is not None  # run() leaves unreadable ones out
            labels = segment_array(self.module, frame.image, self.device)
            meta = dict(ori_shape=labels.shape, img_shape=labels.shape)
            sample = SegDataSample(metainfo=meta)
            sample.pred_sem_seg = PixelData(data=torch.from_numpy(labels)[None])
            origin = Origin(frame, self.classes, self.palette)
            results.append(self.result_type.of(sample, origin, score_thr))
        return results

    def _pixel_bytes(self) -> int:
        # The outputs of the trunk are in memory too.
        backbone = self.module.backbone
        token = token_bytes(backbone) + 4 * backbone.embed_dims * len(backbone.out_indices)
        return Model._pixel_bytes(self) + 16 + token // backbone.patch_size**2
