"""Predictions on a user's own pictures, written to files."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from PIL import Image

from ..compat.trust import trust_checkpoint as trust_file
from ..engine.checkpoints import require_checkpoint
from ..utils.config import toolbox
from ..utils.errors import UserError
from ..utils.files import PathLike, make_folder, replacing, write_json
from ..utils.inputs import Frame, ImageInput, VideoInput, open_input
from ..utils.progress import Track, silently
from .coco_results import PREDICTIONS_FILE, CocoResults
from .predictors import ClsPredictor, DetPredictor, SegPredictor, build_predictor, choose_device

# Classes that are kept of each picture, as in top-5 accuracy.
NUM_BEST = 5
_TASKS = dict(mmseg='segmentation', mmdet='detection', mmpretrain='classification')
# Options that one task alone has.
_OWN_OPTIONS = dict(
    segmentation=('opacity', 'with_labels', 'masks', 'color_masks'),
    detection=('score_thr', 'ann_file'),
)


@dataclass
class PredictOptions:
    """How predictions are drawn and kept.

    Args:
        opacity: Segmentation: weight of the colours of masks, 0 to 1.
        with_labels: Segmentation: write class names into regions.
        score_thr: Detection: boxes below this score are left out.
        overlays: Write painted pictures, or a painted video.
        masks: Segmentation: write masks of class indices; ``None`` writes
            them for pictures and not for videos.
        color_masks: Segmentation: give the masks a palette; their values stay
            the same.
        batch_size: Pictures of equal size that go through the model at once.
        max_frames: Limit for videos and webcams.
        ann_file: Detection on pictures: a COCO annotation file whose ids the
            results get, to be scored against it.

    Raises:
        UserError: If a value is out of its range.
    """

    opacity: float = 0.6
    with_labels: bool = False
    score_thr: float = 0.3
    overlays: bool = True
    masks: bool | None = None
    color_masks: bool = False
    batch_size: int = 1
    max_frames: int | None = None
    ann_file: PathLike | None = None

    def __post_init__(self) -> None:
        for name in ('opacity', 'score_thr'):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f'{name} must be between 0 and 1, got {getattr(self, name)}')
        for name in ('batch_size', 'max_frames'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f'{name} must be 1 or more, got {value}')

    def refuse_other_tasks(self, cfg: Config) -> None:
        """Make sure that nothing is asked for that a config's task lacks.

        Args:
            cfg: A config.

        Raises:
            UserError: If an option of another task is not at its default.
        """
        own = _TASKS.get(toolbox(cfg))
        for task, names in _OWN_OPTIONS.items():
            for name in names:
                value = getattr(self, name)
                # False asks for nothing.
                asked = value is not False and value != getattr(PredictOptions, name)
                if asked and own not in (task, None):
                    raise UserError(
                        f'--{name.replace("_", "-")} is for '
                        f'{task}, and {cfg.filename} is a config '
                        f'of {own}'
                    )


@dataclass
class PredictSummary:
    """What was done.

    Args:
        folder: Where the results are.
        done: Number of pictures or frames.
        unreadable: Files that could not be read.
        unlisted: Files that ``ann_file`` does not list, so that their boxes
            are in no file.
    """

    folder: Path
    done: int = 0
    unreadable: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)


def predict_files(
    cfg: Config,
    checkpoint: PathLike,
    source: str,
    out_dir: PathLike,
    device: str | None = None,
    options: PredictOptions = PredictOptions(),
    track: Track = silently,
    trust_checkpoint: bool = False,
) -> PredictSummary:
    """Predict on an image, a folder, a video or a webcam.

    Segmentation writes ``overlays/NAME.png`` and ``masks/NAME.png`` (class
    indices from 0), detection ``overlays/NAME.png`` and the files of
    :class:`~mmanchor.inference.coco_results.CocoResults`, classification
    ``overlays/NAME.png`` and ``predictions.json``, the five likeliest classes
    of each file; of a video the overlays make ``overlays/NAME.mp4``.

    Args:
        cfg: A config of mmseg, mmdet or mmpretrain.
        checkpoint: The weights; they must be those of the config's model.
        source: As for :func:`~mmanchor.utils.inputs.open_input`.
        out_dir: Folder for the results.
        device: Where to run; ``None`` takes a GPU if there is one.
        options: How predictions are drawn and kept.
        track: Shows progress, as in
            :func:`~mmanchor.data_check.check.check_data`.
        trust_checkpoint: Read the checkpoint even if it may run code.

    Returns:
        What was done.

    Raises:
        UserError: If something needed is missing, an option is of another
            task, or nothing could be read.
        KeyboardInterrupt: At Ctrl+C, except that it ends a webcam.
    """
    options.refuse_other_tasks(cfg)
    frames = open_input(source, options.max_frames, skip=out_dir)
    checkpoint = require_checkpoint(checkpoint, 'CHECKPOINT')
    device = choose_device(device)
    summary = PredictSummary(make_folder(out_dir, '--out-dir'))
    if trust_checkpoint:
        trust_file(checkpoint)
    predictor = build_predictor(cfg, checkpoint, device)
    kind = _WRITERS[type(predictor)]
    with ExitStack() as stack:
        video = None
        if frames.is_video and options.overlays:
            path = summary.folder / 'overlays' / f'{frames.name}.mp4'
            video = stack.enter_context(_VideoFile(path, frames.fps))
        writer = kind(predictor, summary, options, video)
        writer.check(frames)
        if frames.is_video and options.masks is None:
            writer.masks = False
        shown = track(frames, 'predicting', frames.total)
        readable = _readable(shown, summary)
        try:
            for batch in _batches(readable, options.batch_size):
                results = predictor.predict([frame.image for frame in batch])
                for frame, result in zip(batch, results):
                    writer.write(frame, result)
                    summary.done += 1
        except KeyboardInterrupt:
            # A webcam has no other end; what was recorded is kept.
            if not frames.is_webcam:
                raise
        writer.finish()
        if not summary.done:
            raise UserError(f'no picture of {source!r} could be read')
    return summary


def _readable(frames: Iterable[Frame], summary: PredictSummary) -> Iterator[Frame]:
    """Frames with a picture; the others are counted."""
    for frame in frames:
        if frame.image is None:
            summary.unreadable.append(frame.file)
        else:
            yield frame


def _batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Runs of up to ``size`` neighbours whose pictures have equal size."""
    batch: list[Frame] = []
    for frame in frames:
        if batch and (len(batch) == size or frame.image.shape != batch[0].image.shape):
            yield batch
            batch = []
        batch.append(frame)
    if batch:
        yield batch


class _VideoFile:
    """An MP4 file that appears when it is complete.

    Args:
        path: The file.
        fps: Frames per second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._replacing = replacing(path)
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> '_VideoFile':
        self._path = self._replacing.__enter__()
        return self

    def write(self, image: np.ndarray) -> None:
        """Add a frame, (H, W, 3) uint8 BGR; the first one sets the size."""
        if self._writer is None:
            self._writer = cv2.VideoWriter(
                str(self._path),
                cv2.VideoWriter_fourcc(*'mp4v'),
                self._fps,
                (image.shape[1], image.shape[0]),
            )
            if not self._writer.isOpened():
                raise UserError(
                    'this OpenCV cannot write MP4 videos; use --no-overlays (and --masks for masks)'
                )
        self._writer.write(image)

    def __exit__(self, *error: Any) -> bool | None:
        if self._writer is not None:
            self._writer.release()
        return self._replacing.__exit__(*error)


class _Writer:
    """Writes painted pictures; subclasses write what else there is."""

    def __init__(
        self,
        predictor: Any,
        summary: PredictSummary,
        options: PredictOptions,
        video: _VideoFile | None,
    ) -> None:
        self.predictor = predictor
        self.summary = summary
        self.folder = summary.folder
        self.options = options
        self.video = video
        self.masks = options.masks is not False

    def check(self, frames: ImageInput | VideoInput) -> None:
        """Refuse options that the input does not have."""

    def write(self, frame: Frame, result: Any) -> None:
        """Write the result of one picture."""
        self.keep(frame, result)
        if not self.options.overlays:
            return
        rgb = np.ascontiguousarray(frame.image[..., ::-1])
        painted = self.draw(rgb, result)
        if self.video is not None:
            self.video.write(np.ascontiguousarray(painted[..., ::-1]))
        else:
            path = self.folder / 'overlays' / f'{frame.name}.png'
            with replacing(path) as part:
                Image.fromarray(painted).save(part)

    def keep(self, frame: Frame, result: Any) -> None:
        raise NotImplementedError

    def draw(self, image: np.ndarray, result: Any) -> np.ndarray:
        raise NotImplementedError

    def finish(self) -> None:
        """Write what belongs to all pictures together."""


class _SegWriter(_Writer):
    """Masks of class indices."""

    def keep(self, frame: Frame, result: np.ndarray) -> None:
        if not self.masks:
            return
        picture = Image.fromarray(result)
        if self.options.color_masks and result.dtype == np.uint8:
            colours = np.asarray(self.predictor.palette, np.uint8)
            picture.putpalette(colours.ravel().tolist())
        path = self.folder / 'masks' / f'{frame.name}.png'
        with replacing(path) as part:
            picture.save(part)

    def draw(self, image: np.ndarray, result: np.ndarray) -> np.ndarray:
        return self.predictor.draw(image, result, self.options.opacity, self.options.with_labels)


class _DetWriter(_Writer):
    """Boxes in COCO's formats."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.results = CocoResults(self.predictor.classes, self.options.ann_file)

    def check(self, frames: ImageInput | VideoInput) -> None:
        if self.options.ann_file is None:
            return
        if frames.is_video:
            raise UserError('--ann-file is for pictures, not for videos')
        if not any(map(self.results.lists, frames.files)):
            raise UserError(
                f'--ann-file {self.options.ann_file} lists none '
                f'of the pictures, such as {frames.files[0]!r}; '
                'INPUT must be the folder that its file names '
                'are relative to'
            )

    def keep(self, frame: Frame, result: Any) -> None:
        if not self.results.lists(frame.file):
            self.summary.unlisted.append(frame.file)
            return
        height, width = frame.image.shape[:2]
        found = self.predictor.annotations(result, self.options.score_thr)
        self.results.add(frame.file, width, height, found)

    def draw(self, image: np.ndarray, result: Any) -> np.ndarray:
        return self.predictor.draw(image, result, self.options.score_thr)

    def finish(self) -> None:
        self.results.write(self.folder)


class _ClsWriter(_Writer):
    """The likeliest classes of each picture."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.results: list[dict] = []

    def keep(self, frame: Frame, result: np.ndarray) -> None:
        best = self.predictor.best(result, NUM_BEST)
        self.results.append(dict(file=frame.file, predictions=best))

    def draw(self, image: np.ndarray, result: np.ndarray) -> np.ndarray:
        return self.predictor.draw(image, result)

    def finish(self) -> None:
        write_json(self.folder / PREDICTIONS_FILE, self.results)


_WRITERS = {SegPredictor: _SegWriter, DetPredictor: _DetWriter, ClsPredictor: _ClsWriter}
