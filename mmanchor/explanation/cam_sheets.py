"""Sheets of heat maps: one image by one model, or many images by many models."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .sheets import Cell, Row, draw_sheet, heat_map

if TYPE_CHECKING:
    from .cams import CamExplanation

_HOW_TO_READ = (
    'The brighter a part of the image, the more it speaks for the prediction; dark parts do not '
    'matter, or speak against it. Each heat map is scaled to its own brightest part.'
)
# How the methods write themselves.
NAMES = {
    'gradcam': 'Grad-CAM',
    'gradcam++': 'Grad-CAM++',
    'hirescam': 'HiResCAM',
    'layercam': 'LayerCAM',
    'xgradcam': 'XGrad-CAM',
    'eigengradcam': 'Eigen-Grad-CAM',
    'eigencam': 'Eigen-CAM',
}


def draw_cam(explanation: 'CamExplanation') -> np.ndarray:
    """The image and its heat map, (H, W, 3) uint8, RGB."""
    boxes = _boxes(explanation)
    cells = [
        Cell(explanation.view.crop(explanation.image), 'image', boxes=boxes),
        Cell(_heat(explanation), explanation.text, boxes=boxes),
    ]
    footer = f'{NAMES[explanation.method]} at {explanation.layer}.'
    return draw_sheet('Where the model finds it', _HOW_TO_READ, [Row('', cells)], footer)


def draw_comparison(
    names: Sequence[str], columns: Sequence[Sequence['CamExplanation']]
) -> np.ndarray:
    """Images from left to right, models from top to bottom: Fig. 4 of the paper.

    Args:
        names: Of the models.
        columns: For each image an explanation by each model.

    Returns:
        (H, W, 3) uint8, RGB. Each cell shows what its model sees of the image.
    """
    first = columns[0]
    rows = [Row('image', [Cell(column[0].view.crop(column[0].image)) for column in columns])]
    for index, name in enumerate(names):
        ones = [column[index] for column in columns]
        rows.append(Row(name, [Cell(_heat(one), one.text, boxes=_boxes(one)) for one in ones]))
    layers = '; '.join(f'{name}: {one.layer}' for name, one in zip(names, first, strict=True))
    footer = f'{NAMES[first[0].method]} at {layers}.'
    return draw_sheet('Where each model finds it', _HOW_TO_READ, rows, footer)


def _heat(one: 'CamExplanation') -> np.ndarray:
    return one.view.crop(heat_map(one.image, one.heat))


def _boxes(one: 'CamExplanation') -> list[tuple[float, float, float, float]]:
    return [] if one.box is None else [one.view.box_in_crop(one.box)]
