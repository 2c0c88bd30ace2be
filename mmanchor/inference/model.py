"""A loaded model: images in, named predictions out."""

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, overload

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope

from ..utils.config import toolbox
from ..utils.errors import UserError, in_one_line
from ..utils.images import UnreadableImageError, image_size
from ..utils.inputs import Frame, open_input
from ..utils.memory import free_memory
from ..visualization import distinct_palette
from .pipeline import array_pipeline
from .results import Origin, Palette, Result

# Bytes of a pixel: read, turned to RGB, drawn into as float32.
PIXEL_BYTES = 30


@dataclass
class Failure:
    """Why there is no prediction for an image.

    Args:
        reason: In words.
        error: What the model raised; ``None`` if the image could not be read.
    """

    reason: str
    error: Exception | None = None


class Model:
    """A trained model that predicts; made by :func:`mmanchor.load`.

    Attributes:
        config: The config, a copy.
        module: The network, in evaluation mode.
        device: Where it runs.
        classes: Class names, in the order of the labels.
        palette: An RGB color, 0 to 255, for each class.

    Args:
        cfg: A config of the task's toolbox.
        device: Where to run.
        tta: Average over the views of the config's ``tta_pipeline``.
    """

    task: ClassVar[str]
    result_type: ClassVar[type[Result]]

    def __init__(self, cfg: Config, device: str, tta: bool = False) -> None:
        self.config = cfg
        self.device = device
        self.classes: tuple[str, ...] = ()
        self.palette: Palette = ()
        self._pipeline = array_pipeline(cfg, tta)
        # Modules of toolboxes have methods that nn.Module does not know.
        self.module: Any = _build_module(cfg).to(device).eval()
        self._stepper: Any = _average_views(cfg, self.module) if tta else self.module

    @overload
    def predict(
        self,
        inputs: Any,
        batch_size: int = ...,
        score_thr: float = ...,
        *,
        stream: Literal[False] = ...,
        rgb: bool = ...,
        max_frames: int | None = ...,
        exact: bool = ...,
    ) -> list[Any]: ...

    @overload
    def predict(
        self,
        inputs: Any,
        batch_size: int = ...,
        score_thr: float = ...,
        *,
        stream: Literal[True],
        rgb: bool = ...,
        max_frames: int | None = ...,
        exact: bool = ...,
    ) -> Iterator[Any]: ...

    def predict(
        self,
        inputs: Any,
        batch_size: int = 1,
        score_thr: float = 0.3,
        *,
        stream: bool = False,
        rgb: bool = False,
        max_frames: int | None = None,
        exact: bool = False,
    ) -> list[Any] | Iterator[Any]:
        """Predict on images or videos.

        Args:
            inputs: An image file, a folder (searched through), a pattern such as
                ``'photos/*.jpg'``, a video, the number of a webcam, an array of
                (H, W, 3) or (H, W) uint8, a Pillow image, or a list of them.
                Arrays are BGR, as OpenCV reads them and OpenMMLab takes them,
                unless ``rgb`` is set.
            batch_size: Neighboring images of equal size that go through the
                model at once.
            score_thr: Detection: boxes below this score are left out.
            stream: Return an iterator, which holds one batch at a time, in place
                of a list: for videos and large folders.
            rgb: Channels of arrays are RGB.
            max_frames: Limit for each video and webcam.
            exact: Segmentation: go through each image at its own size, in bands
                of rows, which takes little memory. The labels are those of the
                plain forward; a ``Resize`` of the test pipeline is left out.

        Returns:
            A result for each image, in order: a data sample of the toolbox that
            also has ``draw()``, ``save(path)``, ``image_path`` and, by task,
            ``boxes``, ``scores``, ``labels``, ``names`` (detection), ``mask``,
            ``labels``, ``names`` (segmentation), ``label``, ``name``, ``scores``
            (classification). In folders, patterns and videos an image that
            cannot be read or predicted on is left out with a warning.

        Raises:
            UserError: If there is nothing to predict on, an image that was
                named itself cannot be read, or an option is out of its range.
        """
        if batch_size < 1:
            raise UserError(f'batch_size must be 1 or more, got {batch_size}')
        if not 0 <= score_thr <= 1:
            raise UserError(f'score_thr must be between 0 and 1, got {score_thr}')
        model = self.in_bands() if exact else self
        found = open_input(inputs, max_frames, rgb=rgb, check=model.check_size)
        results = model._results(found, batch_size, score_thr, found.each_counts)
        if stream:
            return results
        kept = []
        for result in results:
            result.release_image()
            kept.append(result)
        return kept

    def in_bands(self) -> 'Model':
        """This model for whole images in bands of rows, with the same weights.

        Raises:
            UserError: If it cannot run so.
        """
        raise UserError(f'exact is for segmentation by AnchorFormer, and this is {self.task}')

    def _results(
        self, frames: Iterable[Frame], batch_size: int, score_thr: float, strict: bool
    ) -> Iterator[Result]:
        """Those of :meth:`run` that are none of failures, which are said."""
        for frame, result in self.run(frames, batch_size, score_thr):
            if isinstance(result, Result):
                yield result
                continue
            message = f'no prediction for {frame.file}: {result.reason}'
            if strict:
                raise UserError(message) from result.error
            warnings.warn(message, stacklevel=3)

    def run(
        self, frames: Iterable[Frame], batch_size: int = 1, score_thr: float = 0.3
    ) -> Iterator[tuple[Frame, Result | Failure]]:
        """Predict on frames, whatever becomes of some of them.

        Args:
            frames: As :func:`~mmanchor.utils.inputs.open_input` gives them.
            batch_size: Neighbors of equal size that go through at once.
            score_thr: Detection: boxes below this score are left out.

        Yields:
            Each frame, in order, with its result or why there is none.
        """
        for batch in _batches(frames, batch_size):
            if batch[0].image is None:
                yield batch[0], Failure(batch[0].fault)
                continue
            yield from zip(batch, self._try(batch, score_thr), strict=True)

    def _try(self, batch: list[Frame], score_thr: float) -> Sequence[Result | Failure]:
        """Results of a batch; if it fails, of its images one by one."""
        try:
            return self._predict(batch, score_thr)
        # One image must not end a folder, whatever a model says of it.
        except Exception as error:
            if len(batch) > 1:
                return [self._try([frame], score_thr)[0] for frame in batch]
            return [Failure(in_one_line(error), error)]

    def prepare(self, frames: Sequence[Frame]) -> Any:
        """Take frames through the config's test pipeline.

        Args:
            frames: Of equal size.

        Returns:
            A batch as a data loader gives it, before the data preprocessor.
        """
        with DefaultScope.overwrite_default_scope(toolbox(self.config)):
            return pseudo_collate(
                [
                    self._pipeline(
                        dict(img=frame.image, img_path=str(frame.path or ''), img_id=index)
                    )
                    for index, frame in enumerate(frames)
                ]
            )

    @torch.no_grad()
    def _predict(self, frames: list[Frame], score_thr: float) -> list[Result]:
        """Results of frames of equal size."""
        data = self.prepare(frames)
        with DefaultScope.overwrite_default_scope(toolbox(self.config)):
            samples = self._stepper.test_step(data)
        return [
            self.result_type.of(sample.cpu(), Origin(frame, self.classes, self.palette), score_thr)
            for frame, sample in zip(frames, samples, strict=True)
        ]

    def set_meta(self, meta: Any) -> None:
        """Take class names and colors; invent those that are missing.

        Args:
            meta: A dict with ``classes`` and ``palette``; what is missing or of
                another type is passed over.
        """
        meta = {str(k).lower(): v for k, v in meta.items()} if isinstance(meta, Mapping) else {}
        names = meta.get('classes')
        names = [str(each) for each in names] if isinstance(names, (list, tuple)) else []
        number = self._num_classes() or len(names)
        names = names[:number]
        names += [f'class {i}' for i in range(len(names), number)]
        palette = meta.get('palette')
        fits = isinstance(palette, (list, tuple)) and len(palette) >= number
        self.classes = tuple(names)
        self.palette = palette if fits else distinct_palette(number)
        self.module.dataset_meta = dict(meta, classes=self.classes, palette=self.palette)

    def _num_classes(self) -> int | None:
        """Classes of the head, if it says."""
        raise NotImplementedError

    def _pixel_bytes(self) -> int:
        """Memory that a pixel of an image needs, about."""
        return PIXEL_BYTES

    def check_size(self, path: Path) -> None:
        """Refuse an image file that needs more memory than is free.

        Raises:
            UnreadableImageError: With the numbers.
        """
        if reason := self.too_large(path):
            raise UnreadableImageError(reason)

    def too_large(self, path: Path) -> str | None:
        """What is to be said of an image file that needs more memory than is free."""
        size = image_size(path)
        free = free_memory()
        if size is None or free is None:
            return None
        height, width = size
        need = height * width * self._pixel_bytes()
        if need <= free:
            return None
        return (
            f'{width} x {height} pixels need about {need / 1e9:.1f} GB of memory, and '
            f'{free / 1e9:.1f} GB are free; make the image smaller or cut it into tiles'
        )


def _batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Runs of up to ``size`` neighbors of equal size; unreadable ones alone."""
    batch: list[Frame] = []
    for frame in frames:
        if batch and (len(batch) == size or not _fit_together(frame, batch[0])):
            yield batch
            batch = []
        batch.append(frame)
    if batch:
        yield batch


def _fit_together(one: Frame, other: Frame) -> bool:
    if one.image is None or other.image is None:
        return False
    return one.image.shape == other.image.shape


def _build_module(cfg: Config) -> torch.nn.Module:
    """The network of a config, as a runner builds it, without loading weights."""
    model = copy.deepcopy(cfg.model)
    if cfg.get('data_preprocessor'):
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    # It would only warn that it is obsolete.
    model.pop('pretrained', None)
    return revert_sync_batchnorm(MODELS.build(model))


def _average_views(cfg: Config, module: torch.nn.Module) -> torch.nn.Module:
    if not isinstance(cfg.get('tta_model'), dict):
        raise UserError(f'tta needs tta_model in the config {cfg.filename}')
    return MODELS.build(ConfigDict(**cfg.tta_model, module=module)).eval()
