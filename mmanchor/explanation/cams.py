"""Grad-CAM and its relatives, by the grad-cam package, for all tasks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ..inference.model import Model
from ..utils.errors import UserError
from ..utils.files import PathLike
from .anchors import save_image
from .cam_targets import CamTarget
from .target_layers import TargetLayer, find_target_layer
from .views import View

# Name -> class of grad-cam; those that need one pass forward and back at most.
METHODS = {
    'gradcam': 'GradCAM',
    'gradcam++': 'GradCAMPlusPlus',
    'hirescam': 'HiResCAM',
    'layercam': 'LayerCAM',
    'xgradcam': 'XGradCAM',
    'eigengradcam': 'EigenGradCAM',
    'eigencam': 'EigenCAM',
}


@dataclass(frozen=True)
class CamExplanation:
    """Where a model finds what it says, in one image; by :func:`mmanchor.explain`.

    Args:
        heat: (H, W) float32 at image size, 0 to 1; NaN where the network sees
            nothing.
        text: What is explained, such as ``'tench (93 %)'``.
        method: A key of :data:`METHODS`.
        layer: Name of the layer.
        view: The image.
        box: The box or the region that is explained, in pixels.
    """

    heat: np.ndarray
    text: str
    method: str
    layer: str
    view: View
    box: tuple[float, float, float, float] | None = None

    @property
    def image(self) -> np.ndarray:
        """The image, (H, W, 3) uint8, RGB."""
        return self.view.image

    def draw(self) -> np.ndarray:
        """The sheet, (H, W, 3) uint8, RGB."""
        from .cam_sheets import draw_cam

        return draw_cam(self)

    def save(self, path: PathLike) -> Path:
        """Write the sheet; the suffix chooses the format."""
        return save_image(self.draw(), path)


def explain_by_cam(
    model: Model, view: View, target: CamTarget, method: str, layer_name: str | None = None
) -> CamExplanation:
    """Compute a heat map.

    Args:
        model: The model.
        view: The image.
        target: What to explain.
        method: A key of :data:`METHODS`.
        layer_name: The layer to look at; ``None`` chooses it as
            :func:`~.target_layers.find_target_layer` does.

    Raises:
        UserError: If grad-cam is missing, the method or the layer is unknown,
            or the layer has no influence on the score. A layer whose every part
            speaks against the score gives a map of zeros, and the text says so.
    """
    layer = find_target_layer(target.network, view.inputs, layer_name)
    with torch.enable_grad():
        heat = _heat(cam_class(method), layer, target, view)
    model.module.zero_grad(set_to_none=True)
    # Cubic: a linear map of few cells shows crosses in place of spots.
    pixels = np.clip(view.to_image(heat, layer.where, cv2.INTER_CUBIC), 0, None)
    best = np.nanmax(pixels)
    text = target.text
    if not np.isfinite(best) or best <= 0:
        text, best = f'{text}: nothing speaks for it', 1.0
    return CamExplanation(pixels / best, text, method, layer.name, view, target.box)


def cam_class(method: str) -> Callable[..., Any]:
    """The class of grad-cam for a method.

    Raises:
        UserError: If the method is unknown or grad-cam is not installed.
    """
    if method not in METHODS:
        raise UserError(f'--method {method!r} is none of anchors, {", ".join(METHODS)}')
    try:
        import pytorch_grad_cam
    except ModuleNotFoundError as error:
        raise UserError(
            f"--method {method} needs the package grad-cam: pip install 'mmanchor[explain]'"
        ) from error
    return getattr(pytorch_grad_cam, METHODS[method])


def _heat(
    kind: Callable[..., Any], layer: TargetLayer, target: CamTarget, view: View
) -> np.ndarray:
    """The heat map on the layer's map, (h, w), from 0."""
    cam = kind(target.network, [layer], reshape_transform=layer.reshape)
    # The input gets a gradient, so that frozen layers pass it on, too.
    cam.compute_input_gradient = True
    # grad-cam would resize to the input; a map of tokens has its own place.
    cam.get_target_width_height = lambda _: (layer.where.width, layer.where.height)
    with cam:
        heat = cam(view.inputs.detach().clone(), [target.score])[0]
        gradients = cam.activations_and_grads.gradients
        if gradients and not any(gradient.any() for gradient in gradients):
            raise UserError(
                f'{layer.name} has no influence on the score of {target.text}, so that there is '
                'nothing to see; choose another --target-layer'
            )
    return heat
