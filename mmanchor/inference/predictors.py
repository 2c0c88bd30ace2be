"""Models that predict on pictures and draw what they found."""

import warnings
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from ..data_check.sources import data_sources
from ..engine.checkpoints import TRAINING_ONLY, load_weights, read_checkpoint
from ..utils.config import building, toolbox
from ..utils.errors import UserError
from ..visualization import distinct_palette, draw_boxes, overlay_mask, write_caption, write_names

BOX_OPACITY = 0.15
MASK_OPACITY = 0.5


def choose_device(device: str | None = None) -> str:
    """A device that is there.

    Args:
        device: Such as ``'cuda:1'``; ``None`` takes a GPU if there is one.

    Returns:
        The name of the device.

    Raises:
        UserError: If this machine does not have it.
    """
    if device is None:
        return 'cuda:0' if torch.cuda.is_available() else 'cpu'
    try:
        torch.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        count = torch.cuda.device_count()
        has = f'cpu and {count} CUDA devices' if count else 'only the CPU'
        raise UserError(f'--device {device!r} is not available; this machine has {has}') from error
    return device


def build_predictor(cfg: Config, checkpoint: str, device: str) -> 'Predictor':
    """Build the model of a config for prediction.

    Args:
        cfg: A config of mmseg, mmdet or mmpretrain; it is not changed.
        checkpoint: The weights.
        device: Where to run.

    Returns:
        The predictor of the config's toolbox.

    Raises:
        UserError: If the toolbox is another one, or the checkpoint is of
            another model.
    """
    kinds = dict(mmseg=SegPredictor, mmdet=DetPredictor, mmpretrain=ClsPredictor)
    scope = toolbox(cfg)
    if scope not in kinds:
        raise UserError(
            f'predict works for configs of {", ".join(kinds)} (their default_scope), got {scope!r}'
        )
    weights = read_checkpoint(checkpoint)
    with building(cfg):
        predictor = kinds[scope](deepcopy(cfg), device)
    load_weights(predictor.model, weights, checkpoint, TRAINING_ONLY)
    meta = weights.get('meta') or {}
    predictor.set_meta(meta.get('dataset_meta') or _config_meta(cfg))
    return predictor


def _config_meta(cfg: Config) -> dict[str, Any]:
    """Classes and palette of the config's test data, if it has any."""
    for source in data_sources(cfg, ['test', 'val']):
        return source.meta
    return {}


class Predictor:
    """A model with class names and colours.

    Args:
        model: The model, on its device, in evaluation mode.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.classes: tuple[str, ...] = ()
        self.palette: Sequence[Sequence[int]] = ()

    def _num_classes(self) -> int:
        raise NotImplementedError

    def set_meta(self, meta: dict[str, Any]) -> None:
        """Take class names and colours; invent those that are missing.

        Args:
            meta: With ``classes`` and ``palette``, or without.
        """
        meta = {key.lower(): value for key, value in meta.items()}
        number = self._num_classes()
        names = list(meta.get('classes') or ())[:number]
        names += [f'class {i}' for i in range(len(names), number)]
        palette = meta.get('palette')
        fits = isinstance(palette, (list, tuple)) and len(palette) >= number
        self.classes = tuple(names)
        self.palette = palette if fits else distinct_palette(number)
        self.model.dataset_meta = dict(meta, classes=self.classes, palette=self.palette)

    def predict(self, images: Sequence[np.ndarray]) -> list[Any]:
        """Predict on pictures of equal size, (H, W, 3) uint8 BGR each."""
        raise NotImplementedError


class SegPredictor(Predictor):
    """A segmentor of mmseg.

    Args:
        cfg: Its config; changed in place.
        device: Where to run.
    """

    def __init__(self, cfg: Config, device: str) -> None:
        from mmseg.apis import init_model

        if 'test_pipeline' not in cfg:
            cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline
        super().__init__(init_model(cfg, None, device))

    def _num_classes(self) -> int:
        head = self.model.decode_head
        heads = head if isinstance(head, torch.nn.ModuleList) else [head]
        return heads[-1].num_classes

    def predict(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Predict the class of every pixel.

        Args:
            images: Pictures of equal size, (H, W, 3) uint8 BGR.

        Returns:
            (H, W) class indices each, uint8, or uint16 for more than 256
            classes.
        """
        from mmseg.apis import inference_model

        dtype = np.uint8 if len(self.classes) <= 256 else np.uint16
        return [
            sample.pred_sem_seg.data[0].cpu().numpy().astype(dtype)
            for sample in inference_model(self.model, list(images))
        ]

    def draw(
        self, image: np.ndarray, mask: np.ndarray, opacity: float, with_labels: bool
    ) -> np.ndarray:
        """Lay a prediction over its picture.

        Args:
            image: (H, W, 3) uint8, RGB.
            mask: (H, W) class indices.
            opacity: Weight of the colours, 0 to 1.
            with_labels: Write class names into their regions.

        Returns:
            (H, W, 3) uint8, RGB.
        """
        # A model with one output channel predicts 0 and 1.
        palette = self.palette
        if len(palette) == 1:
            palette = [(0, 0, 0), *palette]
        painted = overlay_mask(image, mask, palette, opacity, None)
        if with_labels:
            painted = write_names(painted, mask, self.classes)
        return painted


class DetPredictor(Predictor):
    """A detector of mmdet.

    Args:
        cfg: Its config; changed in place.
        device: Where to run.
    """

    def __init__(self, cfg: Config, device: str) -> None:
        from mmcv.transforms import Compose
        from mmdet.apis import init_detector
        from mmdet.utils import get_test_pipeline_cfg

        # Not 'none', which would build the test data to look for colours. It
        # warns that there is no checkpoint yet.
        with warnings.catch_warnings(record=True):
            model = init_detector(cfg, None, 'random', device)
        super().__init__(model)
        pipeline = get_test_pipeline_cfg(cfg.copy())
        pipeline[0].type = 'mmdet.LoadImageFromNDArray'
        self._pipeline = Compose(pipeline)

    def _num_classes(self) -> int:
        model = self.model
        head = getattr(model, 'bbox_head', None) or model.roi_head.bbox_head
        heads = head if isinstance(head, torch.nn.ModuleList) else [head]
        return heads[-1].num_classes

    def predict(self, images: Sequence[np.ndarray]) -> list[Any]:
        """Predict boxes.

        mmdet's ``inference_detector`` would give the same, but takes one
        picture after the other.

        Args:
            images: Pictures, (H, W, 3) uint8 BGR.

        Returns:
            mmdet's data samples, on the CPU.
        """
        data = [self._pipeline(dict(img=each, img_id=0)) for each in images]
        with torch.no_grad():
            samples = self.model.test_step(
                {key: [each[key] for each in data] for key in ('inputs', 'data_samples')}
            )
        return [sample.cpu() for sample in samples]

    def draw(self, image: np.ndarray, sample: Any, score_thr: float) -> np.ndarray:
        """Draw boxes, labels and scores, and masks if there are any.

        Args:
            image: (H, W, 3) uint8, RGB.
            sample: A prediction.
            score_thr: Boxes below this score are left out.

        Returns:
            (H, W, 3) uint8, RGB.
        """
        found = sample.pred_instances
        found = found[found.scores >= score_thr].numpy()
        opacity = BOX_OPACITY
        if 'masks' in found:
            opacity = 0.0
            labels = np.full(image.shape[:2], -1)
            for index in found.scores.argsort():
                labels[found.masks[index]] = found.labels[index]
            image = overlay_mask(image, labels, self.palette, MASK_OPACITY, -1)
        return draw_boxes(
            image,
            found.bboxes,
            found.labels,
            self.classes,
            self.palette,
            found.scores,
            opacity=opacity,
        )

    def annotations(self, sample: Any, score_thr: float) -> list[dict[str, Any]]:
        """A prediction as COCO's annotations.

        Args:
            sample: A prediction.
            score_thr: Boxes below this score are left out.

        Returns:
            One dict per box, best first: ``category_id`` (from 0, as the
            labels), ``bbox`` (x, y, width, height in pixels), ``area``,
            ``score``, and ``segmentation`` if the model predicts masks.
        """
        found = sample.pred_instances
        found = found[found.scores >= score_thr]
        out = []
        for index in found.scores.argsort(descending=True, stable=True).tolist():
            x1, y1, x2, y2 = (round(value, 3) for value in found.bboxes[index].tolist())
            one = dict(
                category_id=int(found.labels[index]),
                bbox=[x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)],
                area=round((x2 - x1) * (y2 - y1), 3),
                iscrowd=0,
                score=round(float(found.scores[index]), 6),
            )
            if 'masks' in found:
                one['segmentation'] = _encode(found.masks[index].numpy())
            out.append(one)
        return out


class ClsPredictor(Predictor):
    """A classifier of mmpretrain.

    Args:
        cfg: Its config.
        device: Where to run.
    """

    def __init__(self, cfg: Config, device: str) -> None:
        from mmpretrain import ImageClassificationInferencer

        self._inferencer = ImageClassificationInferencer(cfg, pretrained=False, device=device)
        super().__init__(self._inferencer.model)

    def _num_classes(self) -> int:
        return self.model.head.num_classes

    def predict(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Predict how likely each class is.

        Args:
            images: Pictures, (H, W, 3) uint8 BGR.

        Returns:
            The scores of each picture, (classes, ) float32; they sum to 1.
        """
        # Not by calling it, which prints a progress bar each time.
        (batch,) = self._inferencer.preprocess(images, len(images))
        samples = self._inferencer.forward(batch)
        return [sample.pred_score.cpu().numpy() for sample in samples]

    def draw(self, image: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Write the most likely class and its score into the picture.

        Args:
            image: (H, W, 3) uint8, RGB.
            scores: A prediction.

        Returns:
            (H, W, 3) uint8, RGB.
        """
        label = int(scores.argmax())
        return write_caption(
            image, self.classes[label], f'{100 * scores[label]:.0f}%', self.palette[label]
        )

    def best(self, scores: np.ndarray, number: int) -> list[dict[str, Any]]:
        """The most likely classes, the likeliest first.

        Args:
            scores: A prediction.
            number: How many at most.

        Returns:
            For each its ``label``, its name as ``class``, and its ``score``.
        """
        order = np.argsort(-scores, kind='stable')[:number].tolist()
        return [
            {'label': i, 'class': self.classes[i], 'score': round(float(scores[i]), 6)}
            for i in order
        ]


def _encode(mask: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) as COCO's compressed run lengths."""
    from pycocotools import mask as coco_mask

    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=code['size'], counts=code['counts'].decode())
