"""What a runtime needs beside the graph: classes, sizes, thresholds, versions."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import Config

from .. import __version__
from ..analysis.provenance import provenance
from ..inference.pipeline import test_pipeline
from ..runtime.metadata import FORMAT_VERSION
from ..utils.errors import UserError
from .graphs import Graph
from .suppression import Suppression

# Steps that only read, pack or annotate.
_PASSED_OVER = {
    'LoadImageFromFile',
    'LoadAnnotations',
    'PackInputs',
    'PackDetInputs',
    'PackSegInputs',
}


def resize_rule(pipeline: Sequence[dict]) -> list[dict[str, Any]]:
    """How the test pipeline brings an image to the size of the network.

    Args:
        pipeline: The transforms of ``test_pipeline``.

    Returns:
        Steps in order; each has ``op``: ``'resize'`` (``scale`` (width,
        height), ``keep_ratio``), ``'resize_edge'`` (``size``, ``edge``) or
        ``'center_crop'`` or ``'pad'`` (``size`` (height, width)) or
        ``'pad_square'``, with ``interpolation`` and ``backend`` or ``value``.

    Raises:
        UserError: If the pipeline has a step that no runtime knows.

    Example:
        >>> resize_rule([dict(type='Resize', scale=(416, 416), keep_ratio=False)])[0]['scale']
        [416, 416]
    """
    steps = []
    for transform in pipeline:
        name = transform['type'].rpartition('.')[2]
        if name in _PASSED_OVER:
            continue
        how = dict(
            interpolation=transform.get('interpolation', 'bilinear'),
            backend=transform.get('backend', 'cv2'),
        )
        if name == 'Resize' and 'scale' in transform:
            scale = transform['scale']
            scale = [scale, scale] if isinstance(scale, int) else list(scale)
            keep = bool(transform.get('keep_ratio', False))
            steps.append(dict(op='resize', scale=scale, keep_ratio=keep, **how))
        elif name == 'ResizeEdge':
            edge = transform.get('edge', 'short')
            steps.append(dict(op='resize_edge', size=transform['scale'], edge=edge, **how))
        elif name == 'CenterCrop':
            size = transform['crop_size']
            size = [size, size] if isinstance(size, int) else list(size)
            steps.append(dict(op='center_crop', size=size))
        elif name == 'Pad' and (transform.get('size') or transform.get('pad_to_square')):
            value = transform.get('pad_val', 0)
            value = value.get('img', 0) if isinstance(value, dict) else value
            value = list(value) if isinstance(value, (list, tuple)) else [value] * 3
            if transform.get('pad_to_square'):
                steps.append(dict(op='pad_square', value=value))
            else:
                # mmcv takes (width, height).
                steps.append(dict(op='pad', size=list(transform['size'])[::-1], value=value))
        else:
            raise UserError(
                f'the test pipeline has the step {name}, which cannot be written into an '
                'exported file; it may have Resize, ResizeEdge, CenterCrop, and Pad to a size or '
                'a square'
            )
    return steps


def suppression_of(model: Any) -> Suppression:
    """Thresholds of a detector's ``test_cfg``.

    Raises:
        UserError: If its NMS is not the greedy one.
    """
    cfg = model.bbox_head.test_cfg
    nms = cfg.get('nms', {})
    if nms.get('type', 'nms') != 'nms' or nms.get('class_agnostic', False):
        raise UserError(
            f'test_cfg.nms={dict(nms)} cannot be exported; --with nms knows '
            "dict(type='nms', iou_threshold=...), and --with decode leaves NMS out"
        )
    return Suppression(
        score_thr=float(cfg.get('score_thr', 0)),
        nms_pre=int(cfg.get('nms_pre', -1)),
        iou_threshold=float(nms.get('iou_threshold', 0.5)),
        max_per_img=int(cfg.get('max_per_img', 100)),
    )


def _threshold_of_masks(model: Any) -> dict[str, float] | None:
    """From which probability on a segmentor of one channel says that it is the class."""
    head: Any = getattr(model, 'decode_head', None)
    if getattr(head, 'out_channels', None) != 1:
        return None
    return dict(threshold=float(head.threshold))


def build_metadata(
    cfg: Config,
    graph: Graph,
    task: str,
    *,
    results: str,
    classes: Sequence[str],
    size: tuple[int, int],
    dynamic: str | None,
    outputs: Sequence[str],
    suppression: Suppression | None,
) -> dict[str, Any]:
    """Everything about an exported model that its graph does not say.

    Args:
        cfg: Its config.
        graph: The module that was exported.
        task: See :func:`~.graphs.build_graph`.
        results: What the outputs are, a name of :data:`~.graphs.RESULTS`.
        classes: Names of the classes.
        size: (H, W) of the images, in pixels.
        dynamic: See :class:`~.options.ExportOptions`.
        outputs: Names of the outputs, in order.
        suppression: Thresholds of a detector.

    Returns:
        A dict that JSON can hold.
    """
    preprocessing = graph.preprocessing
    head = getattr(graph.model, 'bbox_head', None)
    strides = getattr(getattr(head, 'prior_generator', None), 'strides', None)
    return dict(
        format_version=FORMAT_VERSION,
        task=task,
        results=results,
        classes=list(classes),
        input=dict(
            name='images',
            dtype='uint8' if graph.uint8 else 'float32',
            layout='NCHW',
            channels='BGR' if graph.uint8 else ('RGB' if preprocessing.flips else 'BGR'),
            size=list(size),
            open_axes={None: [], 'batch': ['batch'], 'hw': ['batch', 'height', 'width']}[dynamic],
            mean=preprocessing.mean.flatten().tolist(),
            std=preprocessing.std.flatten().tolist(),
            # Whether mean and std are those of RGB, and the image is BGR.
            flips=preprocessing.flips,
            normalized_inside=graph.uint8,
            pad_divisor=preprocessing.divisor,
        ),
        resize=resize_rule(test_pipeline(cfg)[1]),
        outputs=list(outputs),
        thresholds=vars(suppression) if suppression else _threshold_of_masks(graph.model),
        strides=strides and [int(s[0] if isinstance(s, tuple) else s) for s in strides],
        config=(cfg.filename or '').rpartition('/')[2] or None,
        versions=dict(mmanchor=__version__, torch=torch.__version__),
        commit=provenance().get('commit'),
    )
