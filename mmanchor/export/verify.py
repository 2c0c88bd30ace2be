"""Compare an exported file with the model it was made from, on real images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.registry import DefaultScope
from torch import Tensor

from ..utils.errors import UserError
from ..utils.images import read_image
from .graphs import Graph

Run = Callable[[np.ndarray], list[np.ndarray]]
# Largest difference of outputs, over the largest output, by number format.
# Measured in float16: DeiT-Ti 1.4e-3; PicoDet-S 2e-2 in torch and 4e-2 in ONNX
# Runtime, for one of 290 thousand scores, where the median is 1e-5. In INT8 a
# single score of a detector may be another one, and what a user sees decides.
_TOLERANCES = {'float32': 1e-3, 'float16': 1e-2, 'int8': 0.3}
TOLERANCES = {
    'detection': {'float32': 1e-3, 'float16': 5e-2, 'int8': 1.0},
    'segmentation': _TOLERANCES,
    'classification': _TOLERANCES,
}
# Share of boxes, pixels or images on which both must say the same.
LEAST_AGREEMENT = {'float32': 0.99, 'float16': 0.95, 'int8': 0.5}
# Boxes are the same from this IoU on, up to this difference of scores; those of
# INT8 are compared from this score on.
_SAME_BOX = {'float32': (0.9, 0.01, 0.0), 'float16': (0.9, 0.03, 0.1), 'int8': (0.5, 0.15, 0.3)}


@dataclass
class Verification:
    """How far an exported file agrees with torch.

    Args:
        shapes: The inputs that were tried, (B, 3, H, W).
        difference: Largest difference of outputs, over the largest output.
        tolerance: The most that is accepted.
        agreement: Share of boxes, of pixels or of images' five likeliest
            classes that are the same, in [0, 1].
        compared: How many of them there were.
    """

    shapes: list[tuple[int, ...]]
    difference: float
    tolerance: float
    agreement: float
    compared: int


def example_images(folder: Path | None, number: int = 4) -> list[np.ndarray]:
    """Real images to check with.

    Args:
        folder: A folder of images; ``None`` takes a photograph that comes with
            matplotlib.
        number: The most to read.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        UserError: If the folder has none that can be read.
    """
    if folder is None:
        from matplotlib.cbook import get_sample_data

        photo = read_image(str(get_sample_data('grace_hopper.jpg', asfileobj=False)))
        return [photo, photo[:, ::-1].copy()]
    images: list[np.ndarray] = []
    for path in sorted(folder.rglob('*')):
        if path.suffix.lower() in ('.jpg', '.jpeg', '.png', '.bmp') and len(images) < number:
            try:
                images.append(read_image(path))
            except UserError:
                continue
    if not images:
        raise UserError(f'--images: the folder {folder} has no image that can be read')
    return images


def batches(
    images: Sequence[np.ndarray], size: tuple[int, int], dynamic: str | None, step: int
) -> Iterator[np.ndarray]:
    """Inputs at the size of the export, and at others where it allows them.

    Args:
        images: (H, W, 3) uint8.
        size: (H, W) of the export.
        dynamic: What is open: ``None``, ``'batch'`` or ``'hw'``.
        step: Sizes of the network are multiples of this.

    Yields:
        (B, 3, H, W) uint8.
    """
    height, width = size
    if dynamic is None:
        for image in images:
            yield _as_input([cv2.resize(image, (width, height))])
        return
    sizes = [size]
    if dynamic == 'hw':
        sizes += [(height + 2 * step, max(width - step, 2 * step)), (height + 7, width + step + 3)]
    for place, (rows, columns) in enumerate(sizes):
        number = (2, 1, 3)[place]
        chosen = [images[(place + i) % len(images)] for i in range(number)]
        yield _as_input([cv2.resize(image, (columns, rows)) for image in chosen])
    if dynamic == 'batch':
        yield _as_input([cv2.resize(images[-1], (width, height))])


def _as_input(images: Sequence[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))


@torch.no_grad()
def verify(
    run: Run,
    graph: Graph,
    task: str,
    inputs: Sequence[np.ndarray],
    number_format: str = 'float32',
    *,
    raw: bool = False,
    trained: bool = True,
) -> Verification:
    """Run both on images and compare numbers and what a user sees.

    Args:
        run: Runs the exported file: images as the file takes them -> outputs.
        graph: The module that was exported.
        task: ``'detection'``, ``'segmentation'`` or ``'classification'``.
        inputs: uint8 batches, (B, 3, H, W).
        number_format: ``'float32'``, ``'float16'`` or ``'int8'``.
        raw: Whether the outputs are compared with those of ``graph`` number
            by number; those behind NMS are not.
        trained: Whether what a user sees must agree too. Random weights give
            nearly equal scores, whose order says nothing.

    Returns:
        The largest difference and the agreement.

    Raises:
        UserError: If they differ by more than :data:`TOLERANCES`, or agree on
            less than :data:`LEAST_AGREEMENT`.
    """
    worst, same, compared = 0.0, 0, 0
    for images in inputs:
        tensor = torch.from_numpy(images)
        given = images if graph.uint8 else graph.normalized(tensor).numpy()
        outputs = run(given)
        wanted = [x.numpy() for x in graph(tensor if graph.uint8 else torch.from_numpy(given))]
        seen = reference(graph, task, tensor)
        if raw or task != 'detection':
            worst = max(worst, _difference(outputs, wanted))
        agreed, number = _agree(task, outputs, seen, number_format)
        same, compared = same + agreed, compared + number
    agreement = same / compared if compared else 1.0
    shapes, tolerance = [images.shape for images in inputs], TOLERANCES[task][number_format]
    result = Verification(shapes, worst, tolerance, agreement, compared)
    if not worst <= result.tolerance:
        raise UserError(
            f'the exported model differs from torch by {worst:.1e} of its largest output, more '
            f'than {result.tolerance:.0e}: nothing was written'
        )
    if trained and agreement < LEAST_AGREEMENT[number_format]:
        raise UserError(
            f'the exported model agrees with torch on {agreement:.1%} of {compared} '
            f'{UNITS[task]}, less than {LEAST_AGREEMENT[number_format]:.0%}: nothing was written'
        )
    return result


UNITS = {'detection': 'boxes', 'segmentation': 'pixels', 'classification': 'top-5 classes'}


def _difference(outputs: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """Largest difference of the tensors of real numbers, relative."""
    worst = 0.0
    for mine, theirs in zip(outputs, wanted, strict=True):
        if mine.shape != theirs.shape:
            raise UserError(
                f'the exported model gives {mine.shape} where torch gives {theirs.shape}'
            )
        if np.issubdtype(theirs.dtype, np.floating):
            largest = max(float(np.abs(theirs).max(initial=0)), 1e-12)
            gap = np.abs(mine.astype(np.float64) - theirs).max(initial=0)
            worst = float(max(worst, gap / largest)) if np.isfinite(gap) else np.inf
    return worst


def reference(graph: Graph, task: str, images: Tensor) -> list[Any]:
    """The data samples that the toolbox predicts for uint8 images.

    Args:
        graph: Holds the model.
        task: Its task.
        images: (B, 3, H, W), uint8.

    Returns:
        A data sample of each image, at the size of ``images``.
    """
    height, width = images.shape[2:]
    meta = dict(
        img_shape=(height, width),
        ori_shape=(height, width),
        pad_shape=(height, width),
        scale_factor=(1.0, 1.0),
        batch_input_shape=(height, width),
    )
    scope, sample = _sample_type(task)
    with DefaultScope.overwrite_default_scope(scope):
        data = dict(inputs=list(images), data_samples=[sample(metainfo=dict(meta)) for _ in images])
        return graph.model.test_step(data)


def _sample_type(task: str) -> tuple[str, type]:
    if task == 'detection':
        from mmdet.structures import DetDataSample

        return 'mmdet', DetDataSample
    if task == 'segmentation':
        from mmseg.structures import SegDataSample

        return 'mmseg', SegDataSample
    from mmpretrain.structures import DataSample

    return 'mmpretrain', DataSample


def _agree(
    task: str, outputs: Sequence[np.ndarray], seen: Sequence[Any], number_format: str
) -> tuple[int, int]:
    """How many of a user's results agree, and of how many."""
    if task == 'segmentation':
        mine = outputs[0] if outputs[0].ndim == 3 else outputs[0].argmax(1)
        theirs = np.stack([sample.pred_sem_seg.data[0].cpu().numpy() for sample in seen])
        return int((mine == theirs).sum()), theirs.size
    if task == 'classification':
        k = min(5, outputs[0].shape[1])
        mine = np.argsort(-outputs[0], axis=1)[:, :k]
        theirs = torch.stack([sample.pred_score for sample in seen]).topk(k).indices.numpy()
        return sum(len(set(a) & set(b)) for a, b in zip(mine, theirs, strict=True)), theirs.size
    if len(outputs) != 4:
        return 0, 0
    same = total = 0
    for i, sample in enumerate(seen):
        count = int(outputs[3][i])
        found = tuple(output[i, :count] for output in outputs[:3])
        truth = sample.pred_instances.cpu()
        wanted: tuple = (truth.bboxes.numpy(), truth.scores.numpy(), truth.labels.numpy())
        overlap, gap, least = _SAME_BOX[number_format]
        found, wanted = (tuple(part[each[1] >= least] for part in each) for each in (found, wanted))
        same += matched_boxes(found, wanted, overlap, gap)
        total += max(len(found[0]), len(wanted[0]))
    return same, total


def matched_boxes(mine: tuple, theirs: tuple, overlap: float = 0.9, gap: float = 0.01) -> int:
    """Boxes that have a counterpart of their class, one to one.

    Args:
        mine: boxes (N, 4), scores (N,), labels (N,).
        theirs: The same, of the other.
        overlap: IoU that a pair has at least.
        gap: By how much the scores of a pair differ at most.

    Returns:
        How many pairs there are.

    Example:
        >>> one = (np.array([[0.0, 0, 4, 4]]), np.array([0.5]), np.array([1]))
        >>> matched_boxes(one, one)
        1
    """
    left = list(range(len(theirs[0])))
    found = 0
    for box, score, label in zip(*mine, strict=True):
        for j in left:
            if (
                label == theirs[2][j]
                and abs(score - theirs[1][j]) <= gap
                and _iou(box, theirs[0][j]) >= overlap
            ):
                left.remove(j)
                found += 1
                break
    return found


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inner = float(np.prod(np.clip(high - low, 0, None)))
    outer = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - inner
    return inner / outer if outer else 1.0
