"""A config is written from a folder of data, and its data pass the check."""

import json

import numpy as np
import pytest
from PIL import Image

from mmanchor.apis.config import init_config
from mmanchor.cli.main import main
from mmanchor.data_check.check import check_data
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError


def write_image(path, array=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if array is None:
        array = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    Image.fromarray(array).save(path)


@pytest.fixture
def boxes(tmp_path):
    root = tmp_path / 'boxes'
    for split in ('train', 'val'):
        images = [dict(id=i, file_name=f'{i}.jpg', width=48, height=40) for i in range(8)]
        for image in images:
            write_image(root / split / image['file_name'])
        boxes = [
            dict(
                id=i + 1,
                image_id=i,
                category_id=7 + i % 2,
                bbox=[4, 4, 20, 20],
                area=400,
                iscrowd=0,
            )
            for i in range(8)
        ]
        categories = [dict(id=7, name='ant'), dict(id=8, name='bee')]
        data = dict(images=images, annotations=boxes, categories=categories)
        path = root / 'annotations' / f'{split}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(data))
    (root / 'annotations' / 'notes_train.json').write_text('{"not": "COCO"}')
    return root


@pytest.fixture
def masks(tmp_path):
    root = tmp_path / 'masks_of_mine'
    for split in ('train', 'val'):
        for i in range(8):
            mask = np.full((40, 48), 255, np.uint8)
            mask[:30], mask[:20], mask[:10] = 2, 1, 0
            write_image(root / split / 'images' / f'{i}.png')
            write_image(root / split / 'labels' / f'{i}.png', mask)
    return root


def test_boxes_are_found(boxes, tmp_path, capsys):
    out = tmp_path / 'my' / 'detector.py'
    assert main(['init-config', 'detection', str(out), '--data', str(boxes)]) == 0
    assert "classes = ('ant', 'bee')" in capsys.readouterr().out
    cfg = load_config(out)
    assert cfg.train_dataloader.dataset.metainfo.classes == ('ant', 'bee')
    assert cfg.model.bbox_head.num_classes == 2
    assert not [each for report in check_data(cfg) for each in report.problems]


def test_masks_are_found(masks, tmp_path):
    out = tmp_path / 'segmentor.py'
    settings = init_config('segmentation', masks, out)
    assert settings['val_masks'] == 'val/labels' and settings['image_suffix'] == '.png'
    assert settings['classes'] == ('class 0', 'class 1', 'class 2')
    assert not [each for report in check_data(load_config(out)) for each in report.problems]
    # Comments stay.
    assert '255 is ignored' in out.read_text()


def test_its_head_is_of_the_file_and_not_of_the_template(boxes, tmp_path):
    init_config('detection', boxes, tmp_path / 'ants.py')
    head = (tmp_path / 'ants.py').read_text().split('_base_')[0]
    assert 'mmanchor train ants.py' in head and 'Copy this file' not in head


def test_what_is_missing_is_named(boxes, masks, tmp_path):
    out = tmp_path / 'x.py'
    for folder, task, message in (
        (boxes, 'segmentation', 'no folder of masks'),
        (masks, 'detection', 'no file in COCO format has train in its name'),
        (tmp_path / 'gone', 'detection', 'is not a folder'),
        (boxes, 'guessing', "got 'guessing'"),
    ):
        with pytest.raises(UserError, match=message):
            init_config(task, folder, out)
    (boxes / 'annotations' / 'train2.json').write_text(
        (boxes / 'annotations' / 'train.json').read_text()
    )
    with pytest.raises(UserError, match=r'several could be the file .* for train: .*train2.json'):
        init_config('detection', boxes, out)
    assert not out.exists()


def test_a_file_is_not_replaced(boxes, tmp_path):
    out = tmp_path / 'mine.py'
    out.write_text('a = 1')
    with pytest.raises(UserError, match=r'must be a new file that ends in \.py'):
        init_config('detection', boxes, out)
    assert out.read_text() == 'a = 1'


@pytest.mark.parametrize(
    'content, message',
    [
        ('[' * 100_000, 'no file in COCO format has train'),
        ('{"images": [{"file_name": "0.jpg"}], "annotations": [1], "categories": [{"id": 7}]}',
         r'each of categories needs a name, got \[None\]'),
    ],
)  # fmt: skip
def test_broken_files_are_named(boxes, tmp_path, content, message):
    (boxes / 'annotations' / 'train.json').write_text(content)
    with pytest.raises(UserError, match=message):
        init_config('detection', boxes, tmp_path / 'x.py')


def test_a_broken_mask_is_named(masks, tmp_path):
    (masks / 'train' / 'labels' / '0.png').write_bytes(b'no image')
    with pytest.raises(UserError, match=r'the mask .*0\.png cannot be read'):
        init_config('segmentation', masks, tmp_path / 'x.py')
