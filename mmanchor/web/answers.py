"""What the page shows, made without gradio: drawings, tables, explanations and files."""

import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..explanation.capture import anchor_modules
from ..explanation.explaining import default_cam, explain
from ..inference.model import Model
from ..inference.results import Result
from ..inference.videos import VideoFile
from ..utils.errors import UserError
from ..utils.files import write_json
from ..utils.inputs import Frame
from .uploads import Limits, open_video, read_upload

HEADERS = ('model', 'found', 'score', 'where')
ANCHORS, CAM = 'anchor maps', 'Grad-CAM'
_MOST_ROWS = 50
# Seconds that results are kept.
KEEP = 3600


@dataclass(frozen=True)
class Answer:
    """What models say of an image.

    Args:
        drawings: (image (H, W, 3) uint8 RGB, name of the model) for each model.
        rows: A table, as :data:`HEADERS` say.
        file: A zip file of the drawings, the masks and ``predictions.json``.
    """

    drawings: list[tuple[np.ndarray, str]]
    rows: list[list[str]]
    file: Path


class Studio:
    """Models, and what visitors may ask of them, one at a time.

    Args:
        models: Name on the page -> model.
        folder: Where uploads come from and results go.
        limits: How large uploads may be.
    """

    def __init__(
        self, models: Mapping[str, Model], folder: Path, limits: Limits | None = None
    ) -> None:
        self.models = dict(models)
        self.folder = folder.resolve()
        self.limits = limits or Limits()
        # Hooks and scopes are put around a model while it runs.
        self._lock = threading.Lock()

    @property
    def with_anchors(self) -> dict[str, tuple[int, int]]:
        """Number of layers and of heads of each model that has anchors."""
        found = {name: anchor_modules(model.module) for name, model in self.models.items()}
        return {
            name: (len(layers), max(getattr(each, 'num_heads', 1) for each in layers.values()))
            for name, layers in found.items()
            if layers
        }

    def predict(self, upload: Any, names: Sequence[str], threshold: float) -> Answer:
        """Predict on an image by some of the models.

        Args:
            upload: What the page gives for a file.
            names: Of the models.
            threshold: Detection: boxes below this score are left out.

        Raises:
            UserError: If there is no image or no model, or one fails.
        """
        image = self._image(upload)
        with self._lock:
            results = {name: _predict(self._model(name), image, threshold) for name in names}
        if not results:
            raise UserError('Choose a model.')
        drawings = [(result.draw(), name) for name, result in results.items()]
        rows = [[name, *row] for name, result in results.items() for row in table(result)]
        return Answer(drawings, rows, self._pack(results, drawings))

    def explain(
        self,
        upload: Any,
        name: str,
        kind: str = CAM,
        layer: int = -1,
        head: int = -1,
        at: tuple[float, float] | None = None,
        class_name: str = '',
        box: int = 0,
    ) -> np.ndarray:
        """The sheet of an explanation, (H, W, 3) uint8 RGB.

        Args:
            upload: What the page gives for a file.
            name: Of the model.
            kind: :data:`ANCHORS` or :data:`CAM`.
            layer: Anchors: index of a layer; -1 takes the first, middle and last.
            head: Anchors: index of a head; -1 takes the clearest.
            at: Anchors: a pixel whose output is taken apart.
            class_name: Grad-CAM: a class; '' takes the predicted one.
            box: Grad-CAM of detectors: rank of the box.

        Raises:
            UserError: If there is no image, or nothing to explain.
        """
        model, image = self._model(name), self._image(upload)
        options: dict[str, Any] = dict(
            method='anchors',
            layers=None if layer < 0 else [layer],
            head=None if head < 0 else head,
            at=at,
        )
        if kind == CAM:
            options = dict(method=default_cam(model), class_name=class_name.strip() or None)
            options['box'] = box if model.task == 'detection' else None
        with self._lock:
            return explain(model, image, **options).draw()

    def draw_video(self, upload: Any, names: Sequence[str], threshold: float) -> Path:
        """A video with the predictions of models side by side, as WebM.

        Raises:
            UserError: If there is no video or no model, or one fails.
        """
        if not names:
            raise UserError('Choose a model.')
        frames = open_video(self._path(upload), self.limits)
        path = self._result_folder() / 'predictions.webm'
        count = 0
        with VideoFile(path, frames.clip.fps) as video:
            for frame in frames:
                assert frame.image is not None
                with self._lock:
                    drawn = [
                        _predict(self._model(name), frame.image, threshold).draw() for name in names
                    ]
                video.write(np.hstack(drawn))
                count += 1
        if not count:
            path.unlink(missing_ok=True)
            raise UserError('This video cannot be read: it holds no frame.')
        return path

    def _model(self, name: str) -> Model:
        if name not in self.models:
            raise UserError(f'There is no model {name!r} here.')
        return self.models[name]

    def _path(self, upload: Any) -> Path:
        """The file of an upload, which a page gives as a dict with its path.

        A forged request may name any file of this machine.
        """
        upload = upload.get('video', upload) if isinstance(upload, Mapping) else upload
        path = upload.get('path') if isinstance(upload, Mapping) else upload
        if not path:
            raise UserError('Drop a file first, or use the camera.')
        full = Path(str(path)).resolve()
        if not full.is_relative_to(self.folder) or not full.is_file():
            raise UserError('This file is not there any more: drop it again.')
        return full

    def _image(self, upload: Any) -> np.ndarray:
        return read_upload(self._path(upload), self.limits)

    def _result_folder(self) -> Path:
        """A new folder; those of old results go."""
        results = self.folder / 'results'
        results.mkdir(exist_ok=True)
        for old in results.iterdir():
            if time.time() - old.stat().st_mtime > KEEP:
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=results))

    def _pack(self, results: Mapping[str, Any], drawings: Sequence[tuple[np.ndarray, str]]) -> Path:
        """The zip file of an answer."""
        folder = self._result_folder()
        data = {name: found_in(each) for name, each in results.items()}
        write_json(folder / 'predictions.json', data)
        path = folder / 'predictions.zip'
        with zipfile.ZipFile(path, 'w') as packed:
            packed.write(folder / 'predictions.json', 'predictions.json')
            for image, name in drawings:
                packed.writestr(f'{name}.png', _png(image[..., ::-1]))
                if self.models[name].task == 'segmentation':
                    packed.writestr(f'{name}-mask.png', _png(results[name].mask))
        return path


def found_in(result: Any) -> list[dict[str, Any]]:
    """What a model found, the best first.

    Args:
        result: Of a model of any task.

    Returns:
        For each its ``class`` and ``score``, of boxes also the ``box`` (left, top,
        right, bottom in pixels), of regions the ``share`` of the image for a score.
    """
    if hasattr(result, 'best'):
        return [{key: each[key] for key in ('class', 'score')} for each in result.best()]
    if hasattr(result, 'boxes'):
        found = zip(result.names, result.scores.tolist(), result.boxes.tolist(), strict=True)
        return [
            {'class': name, 'score': score, 'box': [round(side, 1) for side in box]}
            for name, score, box in found
        ]
    counts = np.unique(result.mask, return_counts=True)[1]
    shares = zip((counts / counts.sum()).tolist(), result.names, strict=True)
    return [{'class': name, 'share': share} for share, name in sorted(shares, reverse=True)]


def table(result: Any) -> list[list[str]]:
    """Rows for people: what was found, its score or share, and where."""
    rows = []
    for one in found_in(result)[:_MOST_ROWS]:
        share = f'{100 * one.get("score", one.get("share", 0)):.1f} %'
        share += ' of the image' if 'share' in one else ''
        rows.append([one['class'], share, ', '.join(f'{each:.0f}' for each in one.get('box', ()))])
    return rows


def as_html(rows: Sequence[Sequence[str]]) -> str:
    """A table under :data:`HEADERS`; names of classes may hold anything.

    Example:
        >>> as_html([['a', '<b>', '', '']]).count('&lt;b&gt;')
        1
    """
    lines = [f'<tr>{"".join(f"<td>{escape(cell)}</td>" for cell in row)}</tr>' for row in rows]
    head = ''.join(f'<th>{name}</th>' for name in HEADERS)
    return f'<table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _predict(model: Model, image: np.ndarray, threshold: float) -> Any:
    """The result of one image, (H, W, 3) uint8 BGR."""
    [(_, result)] = model.run([Frame('image', 'image', image)], score_thr=threshold)
    if not isinstance(result, Result):
        raise UserError(f'The model cannot predict on this image: {result.reason}.')
    return result


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode('.png', image)[1].tobytes()
