"""Weights that were trained on COCO name what people annotated."""

import json
import os
from pathlib import Path

import pytest

import mmanchor

DATA = Path(os.environ.get('MMANCHOR_TEST_DATA', 'none'))
WEIGHTS = DATA / 'weights' / 'picodet_s_esnet_416_coco.safetensors'

pytestmark = pytest.mark.skipif(not WEIGHTS.is_file(), reason='MMANCHOR_TEST_DATA has no weights')


def overlap(one, other):
    """Intersection over union of two boxes, corners."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    common = max(0, right - left) * max(0, bottom - top)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / (sum(areas) - common)


def test_confident_boxes_are_where_and_what_people_say():
    truth = json.loads((DATA / 'coco/annotations/instances_val2017.json').read_text())
    names = {each['id']: each['name'] for each in truth['categories']}
    model = mmanchor.load('picodet_esnet-s_4xb80-300e_coco-416', WEIGHTS, 'cpu')
    right = total = 0
    for image in truth['images'][:8]:
        annotated = []
        for each in truth['annotations']:
            if each['image_id'] == image['id']:
                x, y, width, height = each['bbox']
                annotated.append((names[each['category_id']], (x, y, x + width, y + height)))
        [result] = model.predict(DATA / 'coco/val2017' / image['file_name'], score_thr=0.7)
        for name, box in zip(result.names, result.boxes.tolist(), strict=True):
            right += any(name == other and overlap(box, at) > 0.5 for other, at in annotated)
            total += 1
    assert total >= 8 and right / total > 0.8
