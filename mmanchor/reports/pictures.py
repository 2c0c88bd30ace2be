"""Pictures of single images: the truth beside what was predicted."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ..utils.errors import UserError
from ..utils.images import read_image
from .analysis import Analysis
from .charts import data_address

_SIDE, _SMALL_SIDE, _QUALITY = 480, 240, 80


def worst_and_best(analysis: Analysis, number: int) -> tuple[list[int], list[int]]:
    """Indices of the images that went worst and best; those that cannot go wrong are left out.

    Args:
        analysis: Of the test.
        number: How many of each, at most.
    """
    scores = analysis.image_scores
    known = np.nonzero(~np.isnan(scores))[0]
    order = known[np.argsort(scores[known], kind='stable')].tolist()
    return order[:number], order[::-1][:number]


def cards(analyses: Sequence[Analysis], indices: Sequence[int], image_root: str = '') -> list[dict]:
    """What a page shows of images.

    Args:
        analyses: One, or several of the same images.
        indices: Of the images.
        image_root: A folder for files whose names are relative.

    Returns:
        For each image ``name``, ``captions`` and ``pictures``, pairs of a
        title and an address; no pictures if the file is gone.
    """
    out = []
    for index in indices:
        file = analyses[0].record.images[index]
        captions = [analysis.caption(index) for analysis in analyses]
        card: dict[str, Any] = dict(
            name=Path(file).name, captions=captions, pictures=[], missing=''
        )
        try:
            card['pictures'] = _pictures(analyses, index, Path(image_root, file))
        except (UserError, OSError) as error:
            card['missing'] = f'the image cannot be read: {error}'
        out.append(card)
    return out


def _pictures(analyses: Sequence[Analysis], index: int, path: Path) -> list[tuple[str, str]]:
    plain = analyses[0].record.task == 'classification'
    image = np.ascontiguousarray(read_image(path)[..., ::-1])
    scale = (_SMALL_SIDE if plain else _SIDE) / max(image.shape[:2])
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if plain:
        return [('image', _jpeg(image))]
    names = ['prediction'] if len(analyses) == 1 else ['A', 'B']
    drawn = [('truth', analyses[0].draw(image, scale, index, predicted=False))]
    drawn += [
        (name, each.draw(image, scale, index, predicted=True))
        for name, each in zip(names, analyses, strict=True)
    ]
    return [(name, _jpeg(picture)) for name, picture in drawn]


def _jpeg(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'jpeg', quality=_QUALITY, optimize=True)
    return data_address(file.getvalue(), 'jpeg')
