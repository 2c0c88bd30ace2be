"""Scoring an exported file by the data and metrics of a config."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from mmengine.model import BaseModel

from ..inference.exported import ExportedModel, data_sample
from ..inference.loading import model_class
from ..utils.errors import UserError
from ..utils.files import PathLike


class ExportedScorer(BaseModel):
    """Stands for the network of a test: predicts on the image files by the runtime.

    The images that the test pipeline has prepared are passed over: the runtime
    reads and prepares the files itself, so that what is scored is what users
    of the file get.

    Args:
        model: The exported file.
    """

    def __init__(self, model: ExportedModel) -> None:
        super().__init__()
        self._model = model

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """Not used: :meth:`test_step` is all that a test calls."""
        raise NotImplementedError

    def test_step(self, data: dict[str, Any]) -> list[Any]:
        """Predict on the files of a batch."""
        return [self._predict(sample) for sample in data['data_samples']]

    def _predict(self, sample: Any) -> Any:
        path = sample.metainfo.get('img_path')
        if not path:
            raise UserError(
                'an exported file is scored on image files, and the test data of this config '
                'has none (no img_path)'
            )
        # Metrics rank boxes of any score.
        found = self._model.program.predict(path, score_thr=0.0)
        predicted = data_sample(found, sample.metainfo['ori_shape'])
        for name, value in predicted.items():
            setattr(sample, name, value)
        return sample


def scorer_of(path: PathLike, cfg: Config, classes: Sequence[str]) -> ExportedScorer:
    """What takes the place of the network when ``path`` is tested.

    Args:
        path: The exported file.
        cfg: The config that says what it is tested on.
        classes: Of its test data.

    Raises:
        UserError: If the file is of another task, or of other classes than the
            data.
    """
    model = ExportedModel(path)
    task = model_class(cfg).task
    if model.task != task:
        raise UserError(
            f'{str(path)!r} is for {model.task}, and the config {cfg.filename} for {task}'
        )
    if classes and list(classes) != list(model.classes):
        raise UserError(
            f'{str(path)!r} has {len(model.classes)} classes ({_first(model.classes)}), and the '
            f'test data {len(classes)} ({_first(classes)}): they must be the same, in this order'
        )
    return ExportedScorer(model)


def _first(names: Sequence[str]) -> str:
    return ', '.join(names[:3]) + ', ...' * (len(names) > 3)
