"""What is kept of predictions, by task: masks, COCO's files, likely classes."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..utils.errors import UserError
from ..utils.files import replacing, write_json
from ..utils.inputs import Frame, Inputs
from .coco_results import PREDICTIONS_FILE, CocoResults
from .model import Model
from .options import PredictOptions

# Writing JSON files again takes at most a twentieth of the time of a run, and
# a run that is killed loses at most these seconds.
AUTOSAVE_SECONDS = 10.0
AUTOSAVE_SHARE = 20


class Recorder:
    """Keeps the results of a run in its folder.

    Args:
        model: The model that predicts.
        folder: Where to.
        options: What is kept.
    """

    def __init__(self, model: Model, folder: Path, options: PredictOptions) -> None:
        self.folder = folder
        self.options = options
        self.unlisted: list[str] = []

    def check(self, inputs: Inputs) -> None:
        """Refuse options that do not suit the inputs."""

    def add(self, frame: Frame, result: Any) -> None:
        """Keep the result of one image."""
        raise NotImplementedError

    def save(self) -> None:
        """Write what belongs to all images together."""

    def summary(self) -> str:
        """What was found, as a part of a sentence; nothing by default."""
        return ''


class MaskFiles(Recorder):
    """Masks of class indices from 0, one PNG file an image."""

    def add(self, frame: Frame, result: Any) -> None:
        """Write ``masks/NAME.png``; of videos only on demand."""
        wanted = self.options.masks
        if wanted is False or (wanted is None and frame.clip is not None):
            return
        mask = result.mask
        image = Image.fromarray(mask)
        if self.options.color_masks and mask.dtype == np.uint8:
            image.putpalette(np.asarray(result.palette, np.uint8).ravel().tolist())
        with replacing(self.folder / 'masks' / f'{frame.name}.png') as part:
            image.save(part)


class JsonRecorder(Recorder):
    """JSON files that are whole at any time: written now and then, and at the end."""

    def __init__(self, model: Model, folder: Path, options: PredictOptions) -> None:
        super().__init__(model, folder, options)
        self._next_save = time.monotonic() + AUTOSAVE_SECONDS

    def add(self, frame: Frame, result: Any) -> None:
        """Keep a result, and write the files if it is time."""
        self.keep(frame, result)
        now = time.monotonic()
        if now >= self._next_save:
            self.save()
            took = time.monotonic() - now
            self._next_save = now + max(AUTOSAVE_SECONDS, AUTOSAVE_SHARE * took)

    def keep(self, frame: Frame, result: Any) -> None:
        """Keep a result in memory."""
        raise NotImplementedError


class BoxFiles(JsonRecorder):
    """Boxes in COCO's formats."""

    def __init__(self, model: Model, folder: Path, options: PredictOptions) -> None:
        super().__init__(model, folder, options)
        self.results = CocoResults(model.classes, options.ann_file)
        self.num_boxes = 0
        self.highest_score = 0.0

    def check(self, inputs: Inputs) -> None:
        """The annotation file, if there is one, must list the images."""
        if self.options.ann_file is None:
            return
        if inputs.clips:
            raise UserError('--ann-file is for images, not for videos')
        files = inputs.files
        if not any(map(self.results.lists, files)):
            raise UserError(
                f'--ann-file {self.options.ann_file} lists none of the images, such as '
                f'{files[0]!r}; INPUT must be the folder that its file names are relative to'
            )

    def keep(self, frame: Frame, result: Any) -> None:
        """Add boxes; those of images that the annotation file lacks are only drawn."""
        self.num_boxes += len(result)
        self.highest_score = max(self.highest_score, result.highest_score)
        if not self.results.lists(frame.file):
            self.unlisted.append(frame.file)
            return
        height, width = result.ori_shape[:2]
        self.results.add(frame.file, width, height, result.annotations())

    def save(self) -> None:
        """Write ``predictions.json`` and ``results.json``."""
        self.results.write(self.folder)

    def summary(self) -> str:
        """Number of boxes; if there is none, how far the best was from it."""
        text = f'{self.num_boxes} boxes over {self.options.get("score_thr")}'
        return text if self.num_boxes else f'{text} (highest score {self.highest_score:.2f})'


class ClassFiles(JsonRecorder):
    """The likeliest classes of each image."""

    def __init__(self, model: Model, folder: Path, options: PredictOptions) -> None:
        super().__init__(model, folder, options)
        self.results: list[dict[str, Any]] = []

    def keep(self, frame: Frame, result: Any) -> None:
        """Add the five best classes."""
        self.results.append(dict(file=frame.file, predictions=result.best()))

    def save(self) -> None:
        """Write ``predictions.json``."""
        write_json(self.folder / PREDICTIONS_FILE, self.results)


RECORDERS: dict[str, type[Recorder]] = {
    'segmentation': MaskFiles,
    'detection': BoxFiles,
    'classification': ClassFiles,
}
