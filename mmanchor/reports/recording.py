"""Metrics that score nothing: they keep what a report needs while a test runs."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from ..datasets.coco_file import is_number
from ..utils.errors import UserError
from .records import SURE_BINS, Record

# Of many classes only the best are kept of each image.
KEPT_CLASSES = 100
THUMB_SIDE = 400
# Boundary IoU (arXiv 2103.16562): the band is this part of the image's diagonal wide.
BAND = 0.02


class Recorder(BaseMetric):
    """Keeps truth and prediction of each image; ``record`` has them after the test."""

    default_prefix = 'report'
    task = ''

    def __init__(self) -> None:
        super().__init__()
        self.record: Record | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the samples of one batch."""
        self.results.extend(self.keep(sample) for sample in data_samples)

    def keep(self, sample: dict) -> dict[str, Any]:
        """What is kept of an image, few kB."""
        raise NotImplementedError

    def collect(self, results: list[dict]) -> tuple[list[str], dict[str, np.ndarray]]:
        """Files and arrays of all images."""
        raise NotImplementedError

    def compute_metrics(self, results: list) -> dict:
        """Put the images together; there is nothing to score."""
        images, arrays = self.collect(results)
        meta = self.dataset_meta or {}
        self.record = Record(
            self.task,
            [str(name) for name in self.classes],
            images,
            arrays,
            palette=[[int(v) for v in color] for color in _palette(meta, len(self.classes))],
        )
        return {}

    @property
    def classes(self) -> Sequence[str]:
        """Class names of the test data."""
        classes = (self.dataset_meta or {}).get('classes')
        if not isinstance(classes, (list, tuple)) or not classes:
            raise UserError('--report needs the class names of the test data (metainfo.classes)')
        return classes


def _palette(meta: dict, num_classes: int) -> Sequence:
    palette = meta.get('palette')
    return palette if isinstance(palette, (list, tuple)) and len(palette) >= num_classes else ()


class ClassRecorder(Recorder):
    """The likeliest classes of each image."""

    task = 'classification'

    def keep(self, sample: dict) -> dict[str, Any]:
        """Scores in descending order, and that of the true class."""
        truth, scores = sample['gt_label'].cpu(), sample['pred_score'].detach().float().cpu()
        if truth.numel() != 1:
            raise UserError('--report is for one label an image, and the test data has several')
        best, labels = scores.topk(min(KEPT_CLASSES, len(scores)))
        label = int(truth)
        return dict(
            file=str(sample.get('img_path') or ''),
            truth=np.int32(label),
            labels=labels.numpy().astype(np.int32),
            scores=best.numpy(),
            truth_score=scores[label].numpy(),
        )

    def collect(self, results: list[dict]) -> tuple[list[str], dict[str, np.ndarray]]:
        """One row an image."""
        names = ('truth', 'labels', 'scores', 'truth_score')
        arrays = {name: np.stack([each[name] for each in results]) for name in names}
        if arrays['labels'].max() >= len(self.classes):
            raise UserError('the model has more classes than the test data names')
        return [each['file'] for each in results], arrays


class BoxRecorder(Recorder):
    """Boxes; the truth is that of CocoMetric if there is one, else of the samples.

    Args:
        metrics: The evaluators of the test.
    """

    task = 'detection'

    def __init__(self, metrics: Sequence[Any]) -> None:
        super().__init__()
        self._coco = next((each for each in metrics if hasattr(each, '_coco_api')), None)

    def keep(self, sample: dict) -> dict[str, Any]:
        """Boxes as x, y, width, height, in double precision as COCO's JSON has them."""
        found = sample['pred_instances']
        kept = dict(
            file=str(sample.get('img_path') or ''),
            id=sample.get('img_id', len(self.results)),
            pred=(_xywh(found['bboxes']), _flat(found['labels']), _flat(found['scores'], float)),
        )
        if self._coco is None:
            boxes = [_xywh(sample[key]['bboxes']) for key in _TRUTHS if key in sample]
            labels = [_flat(sample[key]['labels']) for key in _TRUTHS if key in sample]
            if not boxes:
                raise UserError('--report needs LoadAnnotations(with_bbox=True) in test_pipeline')
            crowd = np.repeat([0, 1][: len(labels)], [len(each) for each in labels])
            kept['truth'] = (np.concatenate(boxes), np.concatenate(labels), crowd)
        return kept

    def collect(self, results: list[dict]) -> tuple[list[str], dict[str, np.ndarray]]:
        """One row a box; images in the order of their ids, as COCOeval takes them."""
        if self._coco is not None and self._coco._coco_api is not None:
            return self._from_coco(self._coco._coco_api, {each['id']: each for each in results})
        if any('truth' not in each for each in results):
            raise UserError('--report needs ann_file of CocoMetric, or no CocoMetric')
        truths = [each['truth'] for each in results]
        boxes, labels, crowd = (np.concatenate(part) for part in zip(*truths, strict=True))
        arrays = dict(
            truth_image=np.repeat(np.arange(len(truths)), [len(each[0]) for each in truths]),
            truth_label=labels,
            truth_box=boxes,
            truth_area=boxes[:, 2] * boxes[:, 3],
            truth_crowd=crowd,
            image_id=np.arange(len(truths)),
        )
        return [each['file'] for each in results], {**arrays, **_rows(results)}

    def _from_coco(self, coco: Any, results: dict) -> tuple[list[str], dict[str, np.ndarray]]:
        ids = sorted(coco.imgs)
        category_ids = coco.getCatIds(catNms=list(self.classes))
        nothing = dict(pred=(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0)), file='')
        kept = [results.get(id_, nothing) for id_ in ids]
        files = [
            each['file'] or str(coco.imgs[id_].get('file_name', id_))
            for id_, each in zip(ids, kept, strict=True)
        ]
        arrays = {**truth_of_coco(coco, ids, category_ids), **_rows(kept)}
        return files, arrays


_TRUTHS = ('gt_instances', 'ignored_instances')


def _flat(values: Any, dtype: type = int) -> np.ndarray:
    return values.detach().cpu().numpy().astype(dtype)


def _xywh(boxes: Any) -> np.ndarray:
    boxes = getattr(boxes, 'tensor', boxes).detach().cpu().numpy().astype(float).reshape(-1, 4)
    return np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1)


def _rows(results: Sequence[dict]) -> dict[str, np.ndarray]:
    boxes, labels, scores = zip(*(each['pred'] for each in results), strict=True)
    return dict(
        pred_image=np.repeat(np.arange(len(boxes)), [len(each) for each in boxes]),
        pred_box=np.concatenate(boxes),
        pred_label=np.concatenate(labels),
        pred_score=np.concatenate(scores),
    )


def truth_of_coco(coco: Any, ids: Sequence[Any], category_ids: Sequence[Any]) -> dict:
    """The truth of an annotation file as arrays.

    Args:
        coco: pycocotools' index of the file.
        ids: Of the images, ascending.
        category_ids: Of the classes, in the order of the labels.

    Returns:
        ``image_id`` and ``truth_*`` of :data:`~mmanchor.reports.records.ARRAYS`.
    """
    labels = {id_: label for label, id_ in enumerate(category_ids)}
    rows = [
        (index, labels[each['category_id']], each)
        for index, id_ in enumerate(ids)
        for each in coco.imgToAnns[id_]
        if each['category_id'] in labels
    ]
    boxes = np.array([each['bbox'] for *_, each in rows], float).reshape(-1, 4)
    return dict(
        image_id=np.array(ids),
        truth_image=np.array([image for image, *_ in rows], int),
        truth_label=np.array([label for _, label, _ in rows], int),
        truth_box=boxes,
        truth_area=np.array([_area(each) for *_, each in rows], float),
        truth_crowd=np.array([each.get('iscrowd') in (1, '1') for *_, each in rows], int),
    )


def _area(annotation: dict) -> float:
    width, height = annotation['bbox'][2:]
    area = annotation.get('area')
    return area if is_number(area) else width * height


class MaskRecorder(Recorder):
    """Histograms of each image, and both label maps at the size of the page's pictures.

    Args:
        ignore_index: Label of pixels that count nowhere.
    """

    task = 'segmentation'

    def __init__(self, ignore_index: int = 255) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def keep(self, sample: dict) -> dict[str, Any]:
        """Count pixels, boundary pixels and sure pixels, class by class."""
        num = len(self.classes)
        found, truth = (sample[key]['data'].squeeze(0) for key in ('pred_sem_seg', 'gt_sem_seg'))
        found = found.cpu().numpy().astype(np.int32)
        truth = truth.cpu().numpy().astype(np.int32)
        ignored = truth == self.ignore_index
        found, truth = np.minimum(found, num), np.minimum(truth, num)
        truth[ignored] = found[ignored] = num + 1
        seen = ~ignored
        pairs = np.bincount(truth[seen] * (num + 1) + found[seen], minlength=(num + 1) ** 2)
        kept = dict(file=str(sample.get('img_path') or ''), pixel=_sparse(pairs))
        kept['edge'] = _edges(found, truth, num)
        kept['thumbs'] = [_thumb(each, num) for each in (truth, found)]
        logits = sample.get('seg_logits')
        sure = _sureness(logits['data'])[seen] if logits is not None else np.zeros(0)
        kept['sure'], kept['sure_sum'] = _sure(sure, found[seen], truth[seen], num)
        return kept

    def collect(self, results: list[dict]) -> tuple[list[str], dict[str, np.ndarray]]:
        """Sparse histograms as rows, and the label maps as PNG files in a row."""
        num, arrays = len(self.classes), {}
        image, (pairs, counts) = _joined([each['pixel'] for each in results])
        arrays.update(pixel_image=image, pixel_count=counts)
        arrays.update(zip(('pixel_truth', 'pixel_pred'), divmod(pairs, num + 1), strict=True))
        image, parts = _joined([each['edge'] for each in results])
        names = ('edge_label', 'edge_both', 'edge_pred', 'edge_truth')
        arrays.update(zip(names, parts, strict=True), edge_image=image)
        keys, counts, right = (
            np.concatenate(p) for p in zip(*(e['sure'] for e in results), strict=True)
        )
        keys, rows = np.unique(keys, return_inverse=True)
        arrays.update(zip(('sure_label', 'sure_bin'), divmod(keys, SURE_BINS), strict=True))
        for name, values in dict(sure_count=counts, sure_right=right).items():
            arrays[name] = np.bincount(rows, values, len(keys)).astype(np.int64)
        arrays['sure_sum'] = sum(each['sure_sum'] for each in results)
        thumbs = [one for each in results for one in each['thumbs']]
        arrays['thumbs'] = np.concatenate(thumbs)
        arrays['thumb_end'] = np.cumsum([len(one) for one in thumbs])
        return [each['file'] for each in results], arrays


def _joined(parts: Sequence[tuple]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The image of each row, and the columns."""
    image = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    return image, [np.concatenate(column) for column in zip(*parts, strict=True)]


def _sparse(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    keys = counts.nonzero()[0]
    return keys, counts[keys]


def _edges(found: np.ndarray, truth: np.ndarray, num: int) -> tuple[np.ndarray, ...]:
    """Label, and pixels in the boundary bands of both, of the prediction and of the truth."""
    width = max(1, round(BAND * float(np.hypot(*truth.shape))))
    bands = []
    for labels in (found, truth):
        # A pixel is inside if all pixels around it have its label; the image ends as a region.
        padded = np.pad(labels, 1, constant_values=num + 2).astype(np.uint16)
        square = np.ones((2 * width + 1,) * 2, np.uint8)
        band = cv2.erode(padded, square) != cv2.dilate(padded, square)
        bands.append(np.where(band[1:-1, 1:-1] & (truth <= num), labels, num))
    in_found, in_truth = (np.bincount(each.ravel(), minlength=num + 1)[:num] for each in bands)
    same = bands[0][bands[0] == bands[1]]
    both = np.bincount(same, minlength=num + 1)[:num]
    labels = (in_found + in_truth).nonzero()[0]
    return labels, both[labels], in_found[labels], in_truth[labels]


def _sureness(logits: torch.Tensor) -> np.ndarray:
    """The probability of the predicted class, (H, W); one channel means a sigmoid."""
    logits = logits.detach().float()
    if len(logits) == 1:
        sure = logits[0].sigmoid()
        sure = torch.maximum(sure, 1 - sure)
    else:
        sure = (logits.amax(0) - logits.logsumexp(0)).exp()
    # A model that has diverged is sure of nothing.
    return sure.nan_to_num(0).cpu().numpy()


def _sure(sure: np.ndarray, found: np.ndarray, truth: np.ndarray, num: int) -> tuple:
    """Pixels and right ones by class and probability, and sums of the probabilities."""
    if not len(sure):
        return (np.zeros(0, int),) * 3, np.zeros(SURE_BINS)
    bins = np.minimum((sure * SURE_BINS).astype(int), SURE_BINS - 1)
    index, size = found * SURE_BINS + bins, (num + 1) * SURE_BINS
    keys, counts = _sparse(np.bincount(index, minlength=size))
    right = np.bincount(index[found == truth], minlength=size)[keys]
    return (keys, counts, right), np.bincount(bins, sure, SURE_BINS)


def _thumb(labels: np.ndarray, num: int) -> np.ndarray:
    """A label map at the size of the page's pictures, as the bytes of a PNG file."""
    scale = min(1, THUMB_SIDE / max(labels.shape))
    size = [max(1, round(side * scale)) for side in labels.shape[::-1]]
    small = cv2.resize(labels.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST)
    return cv2.imencode('.png', small.astype(np.uint8 if num < 254 else np.uint16))[1].ravel()


def recorder_of(task: str, metrics: Sequence[Any]) -> Recorder:
    """The recorder of a task.

    Args:
        task: ``'classification'``, ``'detection'`` or ``'segmentation'``.
        metrics: The evaluators of the test, beside which it will be.
    """
    if task == 'detection':
        return BoxRecorder(metrics)
    if task == 'segmentation':
        ignored = (each.ignore_index for each in metrics if hasattr(each, 'ignore_index'))
        return MaskRecorder(next(ignored, 255))
    return ClassRecorder()
