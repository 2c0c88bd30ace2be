"""What a heat map of Grad-CAM is asked to explain, by task.

A :class:`CamTarget` is a network that grad-cam can call with nothing but an
image, and a number of its output to follow back to the image.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from ..inference.model import Model
from ..utils.config import toolbox
from ..utils.errors import UserError
from .views import View

Box = tuple[float, float, float, float]
# Boxes of a second run that overlap less are other boxes.
_SAME_BOX = 0.5


@dataclass(frozen=True)
class CamTarget:
    """A question to a model.

    Args:
        network: Takes the view's inputs, (1, 3, H, W); gives a list of one
            output.
        score: The number of that output to explain, a scalar tensor.
        text: What is explained, in words.
        box: Of a detection, in pixels of the image.
    """

    network: nn.Module
    score: Callable[[Any], Tensor]
    text: str
    box: Box | None = None


def target_of(
    model: Model,
    view: View,
    class_name: str | int | None = None,
    box: int | None = None,
    region: Box | None = None,
) -> CamTarget:
    """Choose what to explain.

    Args:
        model: As ``mmanchor.load`` gives it.
        view: The image.
        class_name: A class by name or index; ``None`` takes the predicted one
            (for segmentors, the one that covers most of the region).
        box: Detectors: the rank of the box among those found, 0 for the best.
        region: Segmentors: left, top, right, bottom in pixels of the image;
            ``None`` takes the whole image.

    Raises:
        UserError: If there is no such class or box, or an argument is of
            another task.
    """
    if box is not None and model.task != 'detection':
        raise UserError(f'--box is for detectors, and this is a model for {model.task}')
    if region is not None and model.task != 'segmentation':
        raise UserError(f'--region is for segmentors, and this is a model for {model.task}')
    label = None if class_name is None else class_index(model, class_name)
    if model.task == 'classification':
        return _of_classifier(model, view, label)
    if model.task == 'segmentation':
        return _of_segmentor(model, view, label, region)
    return _of_detector(model, view, label, box or 0)


def class_index(model: Model, name: str | int) -> int:
    """The index of a class.

    Args:
        model: The model.
        name: The name, one of several names with commas between them, or the
            index.

    Raises:
        UserError: If the model has no such class.
    """
    classes = list(model.classes)
    if name in classes:
        return classes.index(name)  # type: ignore[arg-type]
    if str(name).isdecimal():
        if int(name) < len(classes):
            return int(name)
        raise UserError(f'--class {name} is not there: classes are 0 to {len(classes) - 1}')
    wanted = str(name).lower()
    found = [
        index
        for index, known in enumerate(classes)
        if wanted in (part.strip().lower() for part in known.split(','))
    ]
    if found:
        return found[0]
    some = ', '.join(classes[:8])
    raise UserError(f'--class {name!r} is none of the {len(classes)} classes, such as {some}')


class _Forward(nn.Module):
    """A network as a function of the image alone, within its toolbox's scope."""

    def __init__(self, model: Model, run: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.module = model.module
        self._scope = toolbox(model.config)
        self._run = run

    def forward(self, x: Tensor) -> Any:
        with DefaultScope.overwrite_default_scope(self._scope):
            return self._run(self.module, x)


def _of_classifier(model: Model, view: View, label: int | None) -> CamTarget:
    def run(module: Any, x: Tensor) -> Tensor:
        return module(x, view.samples, mode='tensor')

    network = _Forward(model, run)
    with torch.no_grad():
        scores = network(view.inputs)
        if not isinstance(scores, Tensor) or scores.dim() != 2:
            raise UserError('the classifier has no head that gives a score for each class')
        chances = scores[0].softmax(dim=0)
    chosen = int(chances.argmax()) if label is None else label
    name = _short(model.classes[chosen])
    return CamTarget(
        network, lambda scores: scores[chosen], f'{name} ({100 * float(chances[chosen]):.0f} %)'
    )


def _of_segmentor(model: Model, view: View, label: int | None, region: Box | None) -> CamTarget:
    metas = [sample.metainfo for sample in view.samples]
    network = _Forward(model, lambda module, x: module.encode_decode(x, metas))
    with torch.no_grad():
        logits = network(view.inputs)[0]
    part = _region_mask(view, region)
    winners = logits.argmax(dim=0) if len(logits) > 1 else (logits[0] > 0).long() - 1
    if label is None:
        found = winners[part & (winners >= 0)]
        if not found.numel():
            raise UserError('nothing is found in the region; choose a class with --class')
        label = int(found.bincount().argmax())
    chosen = label
    # Where the class is found; if it is nowhere, what speaks for it anywhere.
    pixels = part & (winners == chosen)
    covered = float(pixels.sum() / part.sum())
    pixels = pixels if pixels.any() else part
    text = f'{_short(model.classes[chosen])} ({100 * covered:.0f} % of the '
    text += 'region)' if region is not None else 'image)'
    return CamTarget(network, lambda logits: logits[chosen][pixels].mean(), text, region)


def _region_mask(view: View, region: Box | None) -> Tensor:
    """(H', W') bool: the pixels of the input inside of a region of the image."""
    left, top, right, bottom = region or view.part
    if right <= left or bottom <= top:
        raise UserError(
            f'--region must be left, top, right, bottom with left < right and top < bottom, '
            f'got {left:g} {top:g} {right:g} {bottom:g}'
        )
    x1, y1, x2, y2 = np.rint(view.input_boxes(np.array([left, top, right, bottom]))[0]).astype(int)
    mask = torch.zeros(view.input_size, dtype=torch.bool, device=view.inputs.device)
    mask[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
    if not mask.any():
        raise UserError(f'--region {left:g} {top:g} {right:g} {bottom:g} is outside of the image')
    return mask


def _of_detector(model: Model, view: View, label: int | None, rank: int) -> CamTarget:
    def run(module: Any, x: Tensor) -> Any:
        with _with_gradients():
            return module(x, view.samples, mode='predict')

    network = _Forward(model, run)
    with torch.no_grad():
        found = network(view.inputs)[0].pred_instances
    boxes = _corners(found.bboxes).cpu().numpy()
    chosen = found.scores.argsort(descending=True, stable=True).tolist()
    if label is not None:
        chosen = [index for index in chosen if int(found.labels[index]) == label]
    if rank >= len(chosen) or rank < 0:
        of_class = '' if label is None else f' of the class {model.classes[label]!r}'
        raise UserError(
            f'--box {rank} is not there: the model finds {len(chosen)} boxes{of_class} in this '
            'image (0 is the best)'
        )
    index = chosen[rank]
    box, kind = torch.as_tensor(boxes[index]), int(found.labels[index])

    def score(sample: Any) -> Tensor:
        """The score of the same box, whatever the order."""
        again = sample.pred_instances
        overlaps = _overlaps(_corners(again.bboxes).detach().cpu(), box)
        overlaps[again.labels.cpu() != kind] = 0
        if not len(overlaps) or overlaps.max() < _SAME_BOX:
            raise UserError('the box is not found again under this method; take --method gradcam')
        found_score = again.scores[int(overlaps.argmax())]
        if not found_score.requires_grad and torch.is_grad_enabled():
            raise UserError(
                "the detector's scores cannot be followed back to the image: its head detaches them"
            )
        return found_score

    text = f'{_short(model.classes[kind])} ({100 * float(found.scores[index]):.0f} %)'
    left, top, right, bottom = (float(value) for value in boxes[index])
    return CamTarget(network, score, text, (left, top, right, bottom))


@contextmanager
def _with_gradients() -> Iterator[None]:
    """Let mmdet's dense heads predict without detaching their scores first.

    They take the outputs of an image by one function, which each module of
    theirs imports by name.
    """
    from mmdet.models.utils import misc

    select = misc.select_single_mlvl

    def attached(levels: Any, image: int, detach: bool = False) -> Any:
        return select(levels, image, detach=False)

    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith('mmdet.models.') and (
                getattr(module, 'select_single_mlvl', None) is select
            ):
                stack.enter_context(patch.object(module, 'select_single_mlvl', attached))
        yield


def _corners(boxes: Any) -> Tensor:
    return getattr(boxes, 'tensor', boxes)


def _overlaps(boxes: Tensor, one: Tensor) -> Tensor:
    """Intersection over union of boxes (n, 4) with one box (4,)."""
    size = torch.minimum(boxes[:, 2:], one[2:]) - torch.maximum(boxes[:, :2], one[:2])
    common = size.clamp(min=0).prod(dim=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1) + (one[2:] - one[:2]).prod()
    return common / (areas - common).clamp(min=1e-9)


def _short(name: str) -> str:
    """The first of several names of a class."""
    return name.split(',')[0]
