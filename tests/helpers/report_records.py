"""Tests of a few random images, by the toolboxes' metrics and by what a report keeps."""

import json

import numpy as np
import torch
from PIL import Image

from mmanchor.reports.recording import recorder_of

CLASSES = ('cat', 'dog', '<b>&$x_1$')


def score(task, samples, metrics, classes=CLASSES):
    """Scores of metrics, and the record of the same samples."""
    recorder = recorder_of(task, metrics)
    scores = {}
    for metric in (*metrics, recorder):
        metric.dataset_meta = dict(classes=classes)
        metric.process(None, samples)
        scores |= metric.evaluate(len(samples))
    return scores, recorder.record


def write_image(folder, index, size=(40, 60)):
    """A random image file."""
    path = folder / f'image {index} <i>.png'
    pixels = np.random.default_rng(index).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def boxes(random, number, size=100):
    """Random boxes as left, top, right, bottom."""
    corner = random.uniform(0, size * 0.8, (number, 2))
    return np.concatenate((corner, corner + random.uniform(3, size / 2, (number, 2))), 1)


def detection_samples(folder, num_images=12, seed=0):
    """Data samples, and an annotation file with crowds and with areas of its own."""
    random = np.random.default_rng(seed)
    samples, annotations = [], []
    for index in range(num_images):
        truth = boxes(np.random.default_rng(100 + index), index % 5)
        for number, box in enumerate(truth):
            width, height = box[2:] - box[:2]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=50 - index,
                    category_id=(10, 20, 30)[(number + index) % 2],
                    bbox=[*box[:2], width, height],
                    area=width * height * 0.7,
                    iscrowd=int(number == 3),
                )
            )
        near = truth + random.normal(0, 2, truth.shape)
        found = np.concatenate((near, boxes(random, 6))).astype(np.float32)
        labels = random.integers(0, 3, len(found))
        labels[: len(truth)] = (np.arange(len(truth)) + index) % 2
        samples.append(
            dict(
                img_id=50 - index,
                img_path=write_image(folder, index, (100, 150)),
                ori_shape=(100, 150),
                pred_instances=dict(
                    bboxes=torch.from_numpy(found),
                    labels=torch.from_numpy(labels),
                    scores=torch.from_numpy(random.uniform(0, 1, len(found)).astype(np.float32)),
                ),
            )
        )
    images = [
        dict(id=50 - index, file_name=f'image {index} <i>.png', width=150, height=100)
        for index in range(num_images)
    ]
    categories = [dict(id=10 * n, name=name) for n, name in enumerate(CLASSES, 1)]
    path = folder / 'truth.json'
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return samples, path


def segmentation_samples(folder, num_images=6, seed=0):
    """Data samples with logits; some pixels are ignored, the last class has no truth."""
    random = torch.Generator().manual_seed(seed)
    samples = []
    for index in range(num_images):
        truth = torch.from_numpy(
            np.kron(np.random.default_rng(index).integers(0, 2, (4, 6)), np.ones((10, 10)))
        ).long()
        logits = torch.randn(3, 40, 60, generator=random)
        logits.scatter_add_(0, truth[None], torch.full((1, 40, 60), 1.5))
        truth[:3, :5] = 255
        samples.append(
            dict(
                img_path=write_image(folder, index),
                seg_logits=dict(data=logits),
                pred_sem_seg=dict(data=logits.argmax(0, keepdim=True)),
                gt_sem_seg=dict(data=truth[None]),
            )
        )
    return samples


def classification_samples(folder, num_images=20, seed=0, num_classes=3):
    """Data samples with the scores of each class."""
    random = torch.Generator().manual_seed(seed)
    samples = []
    for index in range(num_images):
        label = index % 2
        logits = torch.randn(num_classes, generator=random)
        logits[label] += 1
        samples.append(
            dict(
                img_path=write_image(folder, index),
                gt_label=torch.tensor([label]),
                pred_score=logits.softmax(0),
            )
        )
    return samples


def record_of(task, folder, **options):
    """The record of random samples."""
    folder.mkdir(exist_ok=True)
    if task == 'detection':
        from mmdet.evaluation import CocoMetric

        samples, path = detection_samples(folder, **options)
        return score(task, samples, [CocoMetric(str(path))])[1]
    make = dict(segmentation=segmentation_samples, classification=classification_samples)[task]
    return score(task, make(folder, **options), [])[1]
