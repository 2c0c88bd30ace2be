"""``mmanchor.explain``: one image, one model, one explanation."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.registry import DefaultScope

from ..inference.model import Model
from ..utils.config import toolbox
from ..utils.errors import UserError
from ..utils.inputs import Frame, open_input
from .anchors import AnchorExplanation, explain_anchors
from .cam_targets import Box, target_of
from .cams import CamExplanation, explain_by_cam
from .capture import anchor_modules, capture
from .views import View, view_of


def explain(
    model: Model,
    image: Any,
    *,
    method: str | None = None,
    layers: Sequence[int] | None = None,
    head: int | None = None,
    at: tuple[float, float] | None = None,
    num_maps: int = 4,
    class_name: str | int | None = None,
    box: int | None = None,
    region: Box | None = None,
    target_layer: str | None = None,
    rgb: bool = False,
) -> AnchorExplanation | CamExplanation:
    """Show what a model looks at in an image.

    Args:
        model: As :func:`mmanchor.load` gives it.
        image: A file, an array of (H, W, 3) or (H, W) uint8 (BGR unless
            ``rgb`` is set), or a Pillow image.
        method: ``'anchors'`` for what each anchor gathers; ``'gradcam'``,
            ``'gradcam++'``, ``'hirescam'``, ``'layercam'``, ``'xgradcam'``,
            ``'eigengradcam'`` or ``'eigencam'`` for what speaks for a
            prediction, which need the extra ``explain``; ``None`` takes
            anchors if the model has any, else ``'gradcam'`` for classifiers
            and ``'hirescam'`` for detectors and segmentors.
        layers: Anchors: layers to show, from 0; negative ones count from the
            end. ``None`` takes the first, the middle and the last.
        head: Anchors: the head to show; ``None`` takes in each layer the one
            whose anchors divide the image most clearly.
        at: Anchors: a pixel (x, y); shows which tokens flow into its output.
        num_maps: Anchors: number of anchors to show, the strongest.
        class_name: Grad-CAM: a class by name or index; ``None`` takes the
            predicted one.
        box: Grad-CAM of a detector: the rank of a box, 0 for the best.
        region: Grad-CAM of a segmentor: left, top, right, bottom in pixels.
        target_layer: Grad-CAM: name of the layer to look at; ``None`` takes
            the first norm of the last transformer block, or the last map of
            a convolutional backbone.
        rgb: Channels of an array are RGB.

    Returns:
        The explanation, with ``draw()`` and ``save(path)`` for the sheet, and
        the numbers: ``layers`` (anchors) or ``heat`` (Grad-CAM).

    Raises:
        UserError: If the image cannot be read, or there is no such layer,
            head, class, box or pixel.

    Example:
        >>> import numpy as np
        >>> from mmanchor import load
        >>> model = load('anchorformer-t_in1k', device='cpu')
        >>> found = explain(model, np.zeros((64, 64, 3), np.uint8), layers=[-1])
        >>> found.layers[0].share.shape
        (3, 30)
    """
    frames = list(open_input(image, rgb=rgb, check=model.check_size))
    if len(frames) != 1:
        raise UserError(f'explain takes one image at a time, got {len(frames)}')
    return explain_frame(
        model,
        frames[0],
        method=method,
        layers=layers,
        head=head,
        at=at,
        num_maps=num_maps,
        class_name=class_name,
        box=box,
        region=region,
        target_layer=target_layer,
    )


def explain_frame(
    model: Model,
    frame: Frame,
    *,
    method: str | None = None,
    layers: Sequence[int] | None = None,
    head: int | None = None,
    at: tuple[float, float] | None = None,
    num_maps: int = 4,
    class_name: str | int | None = None,
    box: int | None = None,
    region: Box | None = None,
    target_layer: str | None = None,
) -> AnchorExplanation | CamExplanation:
    """:func:`explain` of a frame.

    Raises:
        UserError: Also if the frame could not be read.
    """
    method = method or default_method(model)
    _refuse_other_method(
        method,
        dict(layers=layers, head=head, at=at),
        {'class': class_name, 'box': box, 'region': region, 'target-layer': target_layer},
    )
    if frame.image is None:
        raise UserError(f'{frame.file}: {frame.fault}')
    view = view_of(model, frame)
    if method == 'anchors':
        found = capture(model.module, view.inputs, lambda: _run(model, view))
        return explain_anchors(view, found, layers, head, at, num_maps)
    target = target_of(model, view, class_name, box, region)
    return explain_by_cam(model, view, target, method, target_layer)


def default_method(model: Model) -> str:
    """``'anchors'`` if the model has any, else what suits its task."""
    return 'anchors' if anchor_modules(model.module) else default_cam(model)


def default_cam(model: Model) -> str:
    """The relative of Grad-CAM that suits a task.

    Grad-CAM weights whole channels, by their mean gradient. The score of a box
    or a region has its gradient in one place, and then channels light up
    wherever they are active. HiResCAM keeps the place.
    """
    return 'gradcam' if model.task == 'classification' else 'hirescam'


def _refuse_other_method(method: str, of_anchors: dict[str, Any], of_cams: dict[str, Any]) -> None:
    """Refuse options that would have no effect."""
    unused, wanted = (of_cams, 'gradcam') if method == 'anchors' else (of_anchors, 'anchors')
    for name, value in unused.items():
        if value is not None:
            raise UserError(f'--{name} has no effect with --method {method}; take {wanted}')


@torch.no_grad()
def _run(model: Model, view: View) -> None:
    """Send a view through the backbone, which holds the anchors."""
    with DefaultScope.overwrite_default_scope(toolbox(model.config)):
        model.module.extract_feat(view.inputs)
