"""Predictions on a user's own images and videos, written to files."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..runtime.sessions import is_exported
from ..utils.errors import UserError
from ..utils.files import PathLike, make_folder
from ..utils.inputs import Clip, Frame, Inputs, open_input
from ..utils.progress import Track, silently
from .large.predicting import BandFiles
from .loading import load, model_class
from .model import Failure
from .options import PredictOptions
from .recorders import RECORDERS, Recorder
from .results import Result
from .videos import VideoFile

__all__ = ['PredictOptions', 'PredictSummary', 'predict_files']


@dataclass
class PredictSummary:
    """What was done.

    Args:
        folder: Where the results are.
        done: Number of images or frames.
        skipped: Files without a prediction -> why.
        notes: Files -> what the user should know about them.
        unlisted: Files that ``ann_file`` does not list, so that their boxes
            are in no file.
        found: What was found, such as ``'12 boxes over 0.3'``.
    """

    folder: Path
    done: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    found: str = ''


def predict_files(
    cfg: Any,
    checkpoint: PathLike,
    source: Any,
    out_dir: PathLike,
    device: str | None = None,
    options: PredictOptions | None = None,
    track: Track = silently,
    trust_checkpoint: bool = False,
    tta: bool = False,
) -> PredictSummary:
    """Predict on images, folders, videos or a webcam, and write the results.

    Segmentation writes ``overlays/NAME.png`` and ``masks/NAME.png`` (class
    indices from 0), detection ``overlays/NAME.png`` and the files of
    :class:`~mmanchor.inference.coco_results.CocoResults`, classification
    ``overlays/NAME.png`` and ``predictions.json``, the five likeliest classes
    of each file; of a video the overlays make ``overlays/NAME.mp4``. An image
    that cannot be read or predicted on is passed over.

    Args:
        cfg: A config of mmseg, mmdet or mmpretrain; or an exported file.
        checkpoint: The weights; they must be those of the config's model. Not
            used with an exported file.
        source: As for :func:`~mmanchor.utils.inputs.open_input`.
        out_dir: Folder for the results.
        device: Where to run; ``None`` takes a GPU if there is one.
        options: How predictions are drawn and kept.
        track: Shows progress, as in
            :func:`~mmanchor.data_check.check.check_data`.
        trust_checkpoint: Read the checkpoint even if it may run code.
        tta: Average over the views of the config's ``tta_pipeline``.

    Returns:
        What was done.

    Raises:
        UserError: If something needed is missing, an option is of another
            task, or there is no prediction at all.
        KeyboardInterrupt: At Ctrl+C, except that it ends a webcam. What is kept
            in JSON files has been written.
    """
    options = options or PredictOptions()
    exported = load(cfg) if is_exported(cfg) else None
    kind, named = (exported, cfg) if exported else (model_class(cfg), cfg.filename)
    options.refuse_other_tasks(kind.task, named)
    # Wrong inputs end here, before the weights are read.
    inputs = open_input(
        source, options.max_frames, skip=out_dir, check=lambda path: model.check_size(path)
    )
    folder = make_folder(out_dir, '--out-dir')
    model = exported or load(cfg, checkpoint, device, tta=tta, trust_checkpoint=trust_checkpoint)
    if options.tile is not None:
        from .large.tiled_detector import TiledDetector

        model = TiledDetector.of(model, options.tile, options.get('overlap'), options.batch_size)
    summary = PredictSummary(folder)
    bands = BandFiles(model, folder, track)
    if options.exact:
        bands.require(inputs)
        bands.write(inputs.named_paths, summary)
        return _checked(summary, source)
    recorder = RECORDERS[model.task](model, folder, options)
    recorder.check(inputs)
    shown = track(inputs, 'predicting', inputs.total)
    results = model.run(shown, options.batch_size, options.get('score_thr'))
    try:
        with _Drawings(folder, options) as drawings:
            _write(results, recorder, drawings, summary, is_endless=_ends_in_webcam(inputs))
    finally:
        if summary.done:
            recorder.save()
    if options.exact is None:
        bands.write_too_large(inputs, summary)
    _checked(summary, source)
    summary.unlisted = recorder.unlisted
    summary.found = recorder.summary()
    return summary


def _checked(summary: PredictSummary, source: Any) -> PredictSummary:
    """The summary, unless nothing was done."""
    if not summary.done:
        file, reason = next(iter(summary.skipped.items()), (source, 'it has no frame'))
        raise UserError(f'no image of {_shown(source)} could be predicted on: {file}: {reason}')
    return summary


def _write(
    results: Iterable[tuple[Frame, Result | Failure]],
    recorder: Recorder,
    drawings: '_Drawings',
    summary: PredictSummary,
    is_endless: bool,
) -> None:
    """Keep and draw what is predicted, until the end or Ctrl+C."""
    try:
        for frame, result in results:
            if isinstance(result, Failure):
                summary.skipped[frame.file] = result.reason
                continue
            recorder.add(frame, result)
            drawings.add(frame, result)
            summary.done += 1
            if frame.note:
                summary.notes[frame.file] = frame.note
    except KeyboardInterrupt:
        # A webcam has no other end; what was recorded is kept.
        if not is_endless:
            raise


def _ends_in_webcam(inputs: Inputs) -> bool:
    return bool(inputs.clips) and inputs.clips[-1].is_webcam


class _Drawings:
    """Drawn images, and drawn videos, in ``overlays/``."""

    def __init__(self, folder: Path, options: PredictOptions) -> None:
        self.folder = folder / 'overlays'
        self.wanted = options.overlays
        self.options: dict[str, Any] = {
            name: options.get(name)
            for name in ('opacity', 'with_labels')
            if getattr(options, name) is not None
        }
        self._clip: Clip | None = None
        self._video: VideoFile | None = None
        self._stack = ExitStack()

    def __enter__(self) -> '_Drawings':
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._stack.__exit__(*error)

    def add(self, frame: Frame, result: Result) -> None:
        """Draw a result; the first frame of a video opens its file."""
        if not self.wanted:
            return
        if frame.clip is None:
            result.save(self.folder / f'{frame.name}.png', **self.options)
            return
        if frame.clip is not self._clip:
            self._stack.close()
            self._clip = frame.clip
            path = self.folder / f'{frame.clip.name}.mp4'
            self._video = self._stack.enter_context(VideoFile(path, frame.clip.fps))
        assert self._video is not None
        self._video.write(result.draw(**self.options))


def _shown(source: Any) -> str:
    """What the user gave, short."""
    if isinstance(source, (str, Path)):
        return repr(str(source))
    return f'{len(source)} inputs'
