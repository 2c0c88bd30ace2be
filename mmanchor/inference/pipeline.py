"""A config's test pipeline, for images that are in memory already."""

import copy
from typing import Any

import numpy as np
from mmcv.transforms import Compose
from mmengine.config import Config

from ..utils.errors import UserError


class TakeImage:
    """Stands where a pipeline reads an image file.

    Args:
        to_float32: Convert to float32, as the config's loader does.
    """

    def __init__(self, to_float32: bool = False) -> None:
        self.to_float32 = to_float32

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Set the sizes that the loader of a file would set."""
        if self.to_float32:
            results['img'] = results['img'].astype(np.float32)
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results


def array_pipeline(cfg: Config, tta: bool = False) -> Compose:
    """The transforms that an image goes through before the model.

    Args:
        cfg: A config of mmseg, mmdet or mmpretrain.
        tta: Take ``tta_pipeline``, which makes several views.

    Returns:
        The pipeline; it takes ``dict(img=array, img_path=..., img_id=...)``,
        the array (H, W, 3) uint8, BGR.

    Raises:
        UserError: If the config has no such pipeline, or one that does not
            begin with an image file.
    """
    name, steps = ('tta_pipeline', cfg.get('tta_pipeline')) if tta else test_pipeline(cfg)
    if not isinstance(steps, (list, tuple)) or not steps:
        raise UserError(f'the config {cfg.filename} has no {name}, or one that is no list')
    steps = _without_labels(copy.deepcopy(list(steps)))
    if not steps or not _type_name(steps[0]).startswith('LoadImageFrom'):
        raise UserError(
            f'the {name} of {cfg.filename} must begin with LoadImageFromFile to predict on '
            f'images, but begins with {_type_name(steps[0]) if steps else "nothing"}'
        )
    return Compose([TakeImage(bool(steps[0].get('to_float32'))), *steps[1:]])


def test_pipeline(cfg: Config) -> tuple[str, Any]:
    """The pipeline that ``test`` scores with, and what the config calls it."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    while isinstance(dataset, dict):
        if dataset.get('pipeline'):
            return 'test_dataloader.dataset.pipeline', dataset['pipeline']
        inner = dataset.get('datasets') or [dataset.get('dataset')]
        dataset = inner[0]
    return 'test_pipeline', cfg.get('test_pipeline')


def _without_labels(steps: list[Any]) -> list[Any]:
    """Leave out what reads annotations, inside of views too."""
    kept = []
    for step in steps:
        name = _type_name(step)
        if name.startswith('Load') and 'Annotation' in name:
            continue
        if name == 'TestTimeAug':
            step['transforms'] = [
                left for views in step['transforms'] if (left := _without_labels(list(views)))
            ]
        kept.append(step)
    return kept


def _type_name(step: Any) -> str:
    """``'Resize'`` for ``dict(type='mmdet.Resize')``, or for the class."""
    kind = step.get('type') if isinstance(step, dict) else type(step)
    return getattr(kind, '__name__', str(kind)).rsplit('.', 1)[-1]
