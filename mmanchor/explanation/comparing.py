"""Several models side by side, in the layout of the paper's Fig. 4."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..inference.model import Model
from ..utils.errors import UserError
from ..utils.inputs import Frame, open_input
from .cam_sheets import draw_comparison
from .cams import CamExplanation
from .explaining import default_cam, explain_frame


def compare_models(
    models: Mapping[str, Model], images: Any, *, method: str | None = None, **options: Any
) -> np.ndarray:
    """Heat maps of several models for several images.

    Args:
        models: Name in the sheet -> a model of :func:`mmanchor.load`.
        images: As for :meth:`Model.predict <mmanchor.inference.Model.predict>`.
        method: As for :func:`mmanchor.explain`, except ``'anchors'``; ``None``
            takes ``'gradcam'`` for classifiers, else ``'hirescam'``.
        options: Further options of :func:`mmanchor.explain`.

    Returns:
        The sheet, (H, W, 3) uint8, RGB: images from left to right, models from
        top to bottom.

    Raises:
        UserError: If there is no model, or an explanation fails.
    """
    if not models:
        raise UserError('compare_models needs at least one model')
    first = next(iter(models.values()))
    method = method or default_cam(first)
    frames = list(open_input(images, check=first.check_size))
    columns = [explain_by_each(list(models.values()), frame, method, options) for frame in frames]
    return draw_comparison(list(models), columns)


def explain_by_each(
    models: Sequence[Model], frame: Frame, method: str, options: Mapping[str, Any]
) -> list[CamExplanation]:
    """The explanations of one image by several models.

    Raises:
        UserError: If one fails, or the method is ``'anchors'``.
    """
    found = []
    for model in models:
        one = explain_frame(model, frame, method=method, **options)
        if not isinstance(one, CamExplanation):
            raise UserError('models are compared by Grad-CAM; take --method gradcam')
        found.append(one)
    return found
