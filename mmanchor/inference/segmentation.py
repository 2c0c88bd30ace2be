"""Segmentors of mmseg."""

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from mmseg.structures import SegDataSample

from ..visualization import overlay_mask, write_names
from .model import Model
from .results import Origin, Palette, Result

OPACITY = 0.6


class SegmentationResult(Result, SegDataSample):
    """A class for every pixel; also in ``pred_sem_seg``, as mmseg has it.

    ``seg_logits`` is left out: of 150 classes it takes 600 bytes a pixel.
    """

    @classmethod
    def of(cls, sample: BaseDataElement, origin: Origin, score_thr: float) -> 'SegmentationResult':
        """Take over a data sample."""
        sample.pop('seg_logits', None)
        return super().of(sample, origin, score_thr)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) class indices from 0, uint8, or uint16 for more than 256 classes."""
        dtype = np.uint8 if len(self.classes) <= 256 else np.uint16
        return self.pred_sem_seg.data[0].cpu().numpy().astype(dtype)

    @property
    def labels(self) -> np.ndarray:
        """Indices of the classes that were found, ascending."""
        return np.unique(self.mask)

    @property
    def names(self) -> list[str]:
        """Names of the classes that were found, in the order of ``labels``."""
        # A model with one output channel predicts 0 and 1.
        names = ['background', *self.classes] if len(self.classes) == 1 else self.classes
        return [names[label] for label in self.labels.tolist()]

    @property
    def palette(self) -> Palette:
        """An RGB color, 0 to 255, for each value of the mask."""
        palette = self.origin.palette
        return [(0, 0, 0), *palette] if len(palette) == 1 else palette

    def draw(self, opacity: float = OPACITY, with_labels: bool = False) -> np.ndarray:
        """The image under the colors of its classes.

        Args:
            opacity: Weight of the colors, 0 to 1.
            with_labels: Write class names into their regions.

        Returns:
            (H, W, 3) uint8, RGB.
        """
        mask = self.mask
        drawn = overlay_mask(self.image, mask, self.palette, opacity, None)
        return write_names(drawn, mask, self.classes) if with_labels else drawn


class Segmentor(Model):
    """A segmentor of mmseg."""

    task = 'segmentation'
    result_type = SegmentationResult

    def _num_classes(self) -> int | None:
        head = getattr(self.module, 'decode_head', None)
        head = head[-1] if isinstance(head, torch.nn.ModuleList) else head
        return getattr(head, 'num_classes', None)

    def _pixel_bytes(self) -> int:
        # Logits of every class, once as they come and once while the largest
        # is found; those on a GPU are none of the CPU's memory.
        logits = 8 * len(self.classes) if self.device == 'cpu' else 0
        return super()._pixel_bytes() + 8 + logits

    def in_bands(self) -> Model:
        """As :meth:`Model.in_bands`."""
        from .large.banded_segmentor import BandedSegmentor

        return BandedSegmentor.of(self)
