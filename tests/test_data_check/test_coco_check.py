import json

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_project import make_data

from mmanchor.data_check.check import check_data
from mmanchor.datasets.coco_file import read_coco
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError


@pytest.fixture
def spoil(tiny, tmp_path):
    """Check a copy of the tiny data after ``change(annotations, folder)``."""

    def run(change, split='train', pipeline=(), **metainfo):
        data = make_data(tmp_path / 'data', num_train=3)
        path = data / 'annotations' / 'instances_train.json'
        content = json.loads(path.read_text())
        change(content, data / 'images' / 'training')
        path.write_text(json.dumps(content))
        cfg = load_config(tiny / 'det.py')
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.update(type='mmanchor.CocoDataset', data_root=str(data), pipeline=pipeline)
        dataset.metainfo.update(metainfo)
        (report,) = check_data(cfg, [split])
        return report

    return run


def nothing(content, folder):
    """Leave the data as they are."""


def codes(report):
    return {problem.code: problem for problem in report.problems}


def test_sound_file_is_clean(spoil):
    report = spoil(nothing)
    assert not report.problems and not report.notes
    assert report.counts['images'] == report.counts['annotations'] == 3


def test_names_are_compared_both_ways(spoil):
    found = codes(spoil(nothing, classes=('Red', 'green', 'violet')))
    assert found['class_not_in_file'].examples == ["Red (near 'red')", 'violet']
    assert found['category_not_in_metainfo'].examples == ["red (near 'Red')", 'blue']


def test_part_of_the_categories_is_no_problem(spoil):
    report = spoil(nothing, classes=('red', 'green'))
    assert list(codes(report)) == ['num_classes']
    assert '1 categories of the file are left out' in report.notes[0]


def test_other_order_would_swap_names(spoil):
    problem = codes(spoil(nothing, classes=('blue', 'green', 'red')))
    assert "('red', 'green', 'blue')" in problem['class_order'].message


@pytest.mark.parametrize(
    'box, code',
    [
        ([20, 5, 14, 3], 'box_outside'),
        ([-3, 5, 14, 3], 'box_outside'),
        ([5, 5, 0, 3], 'empty_box'),
        ([5, 5, 3, -1], 'empty_box'),
        ([5, 5, 3], 'not_a_box'),
        ([5, 5, 3, float('nan')], 'not_a_box'),
        ([5, 5, 3, None], 'not_a_box'),
    ],
)
def test_impossible_boxes(spoil, box, code):
    report = spoil(lambda content, _: content['annotations'][1].update(bbox=box))
    assert list(codes(report)) == [code]
    assert codes(report)[code].examples[0].startswith('annotation 2: ')


def test_box_may_stick_out_by_a_rounding(spoil):
    report = spoil(lambda content, _: content['annotations'][0].update(bbox=[-0.5, 0, 33, 32]))
    assert not report.problems


@pytest.mark.parametrize(
    'key, field, value, code',
    [
        ('annotations', 'image_id', 77, 'unknown_image'),
        ('annotations', 'category_id', 77, 'unknown_category'),
        ('annotations', 'id', 2, 'annotation_id'),
        ('images', 'width', 48, 'size'),
        ('images', 'file_name', 'gone.jpg', 'missing_image'),
    ],
)
def test_broken_references(spoil, key, field, value, code):
    report = spoil(lambda content, _: content[key][0].update({field: value}))
    assert list(codes(report)) == [code]


def test_annotation_without_area(spoil):
    report = spoil(lambda content, _: content['annotations'][0].pop('area'))
    assert list(codes(report)) == ['area'] and not codes(report)['area'].fatal


@pytest.mark.parametrize('value', [None, '0', 2, 'missing'])
def test_iscrowd_is_needed_for_scores(spoil, value):
    def change(content, _):
        for each in content['annotations']:
            each.update(iscrowd=value)
            if value == 'missing':
                each.pop('iscrowd')

    problem = codes(spoil(change))['iscrowd']
    assert problem.count == 3 and not problem.fatal, 'training does without'
    assert codes(spoil(change, split='val'))['iscrowd'].fatal


@pytest.mark.parametrize(
    'key, field, value, code',
    [
        ('images', 'width', '32', 'image_size'),
        ('images', 'width', None, 'image_size'),
        ('images', 'file_name', None, 'file_name'),
        ('images', 'file_name', 7, 'file_name'),
        ('images', 'id', '1', 'image_id'),
        ('images', 'id', 2, 'duplicate_image'),
        ('categories', 'name', None, 'category_name'),
        ('categories', 'name', ['a'], 'category_name'),
        ('categories', 'id', 2, 'duplicate_category'),
        ('annotations', 'image_id', '1', 'image_reference'),
        ('annotations', 'image_id', [1], 'image_reference'),
        ('annotations', 'bbox', [0, 0, 10**400, 4], 'not_a_box'),
        ('annotations', 'bbox', [True, 0, 4, 4], 'not_a_box'),
    ],
)
def test_entries_that_would_be_read_wrongly_are_fatal(spoil, key, field, value, code):
    found = codes(spoil(lambda content, _: content[key][0].update({field: value})))
    assert found[code].fatal and found[code].count == 1


@pytest.mark.parametrize('value', ['12', float('nan'), None, True])
def test_area_that_is_no_number(spoil, value):
    found = codes(spoil(lambda content, _: content['annotations'][0].update(area=value)))
    assert list(found) == ['area']


def test_normalized_boxes(spoil):
    def change(content, _):
        for each in content['annotations']:
            each['bbox'] = [value / 32 for value in each['bbox']]

    problem = codes(spoil(change))['normalized_boxes']
    assert problem.fatal and 'multiply x and width by the width' in problem.message


def test_corners_written_as_sizes(spoil):
    def change(content, _):
        for each in content['annotations']:
            x, y, w, h = each['bbox']
            each['bbox'] = [x, y, x + w, y + h]
        content['annotations'][0]['bbox'] = [10, 10, 31, 31]

    problem = codes(spoil(change))['corner_boxes']
    assert problem.fatal and '[left, top, right - left, bottom - top]' in problem.message


def test_swapped_width_and_height(spoil):
    def change(content, folder):
        for each in content['images']:
            Image.new('RGB', (48, 32)).save(folder / each['file_name'])
            each.update(width=32, height=48)

    problem = codes(spoil(change))['size']
    assert problem.fatal and 'swap width and height' in problem.message


def test_sizes_are_those_that_the_loader_sees(spoil):
    def change(content, folder, **size):
        exif = Image.Exif()
        exif[0x0112] = 6
        name = content['images'][0]['file_name']
        Image.new('RGB', (32, 24)).save(folder / name, exif=exif)
        content['images'][0].update(**size)
        content['annotations'][0]['bbox'] = [2, 2, 9, 9]

    shown, stored = dict(width=24, height=32), dict(width=32, height=24)
    assert not spoil(lambda *args: change(*args, **shown)).problems
    (example,) = codes(spoil(lambda *args: change(*args, **stored)))['size'].examples
    assert '24 x 32 (turned by its EXIF orientation), recorded 32 x 24' in example


def test_names_that_differ_by_case(spoil):
    found = codes(spoil(lambda content, _: content['images'][0].update(file_name='Train_000.JPG')))
    assert 'there is train_000.jpg; the case of letters' in found['missing_image'].examples[0]


def test_images_that_would_be_read_black(spoil):
    def change(content, folder):
        name = content['images'][0]['file_name'].replace('jpg', 'png')
        cv2.imwrite(str(folder / name), np.full((32, 32), 4000, np.uint16))
        content['images'][0]['file_name'] = name

    (example,) = codes(spoil(change))['dark_image'].examples
    assert 'values up to 4000 in 16 bits' in example


@pytest.mark.parametrize('crowd', [False, True])
def test_files_without_a_box_to_find(spoil, crowd):
    def change(content, _):
        for each in content['annotations']:
            each['iscrowd'] = 1
        if not crowd:
            content['annotations'].clear()

    problem = codes(spoil(change))['no_boxes']
    assert problem.fatal and ('only crowds' if crowd else 'no annotations') in problem.message
    assert not codes(spoil(change, split='val'))['no_boxes'].fatal


def test_boxes_and_images_are_counted_by_class(spoil):
    def change(content, _):
        first = content['annotations'][0]
        content['annotations'] += [dict(first, id=90), dict(first, id=91, iscrowd=1)]

    assert spoil(change).per_class == {
        'red': dict(images=1, boxes=2),
        'green': dict(images=1, boxes=1),
        'blue': dict(images=1, boxes=1),
    }


def test_the_id_that_pycocotools_never_finds(spoil):
    def change(content, _):
        content['annotations'][0]['id'] = 0

    assert not spoil(change).problems, 'training does not mind'
    problem = codes(spoil(change, split='val'))['zero_id']
    assert problem.examples == ['annotation 0'] and not problem.fatal


@pytest.mark.parametrize('value', [None, 'text', [], [[1, 2]], [[1, 2, 3, 4, 5]], dict(size=[3])])
def test_masks_are_checked_where_they_are_loaded(spoil, value):
    polygon = [[1, 2, 3, 4, 5, 6]]

    def change(content, _, first=value):
        for each in content['annotations']:
            each['segmentation'] = polygon
        content['annotations'][0]['segmentation'] = first

    load = [dict(type='LoadAnnotations', with_mask=True)]
    assert not spoil(change).problems
    assert codes(spoil(change, pipeline=load))['segmentation'].count == 1
    runs = dict(size=[32, 32], counts=[1, 1023])
    assert not spoil(lambda *args: change(*args, first=runs), pipeline=load).problems


def test_deep_json(spoil, tmp_path):
    with pytest.raises(UserError, match=r'nested too deeply'):
        path = tmp_path / 'deep.json'
        path.write_text('{"images": ' + '[' * 100_000)
        read_coco(path)


def test_torn_image(spoil):
    report = spoil(lambda _, folder: (folder / 'train_000.jpg').write_bytes(b'\xff\xd8junk'))
    assert list(codes(report)) == ['unreadable_image']


def test_narrow_boxes_are_noted(spoil):
    report = spoil(lambda content, _: content['annotations'][0].update(bbox=[5, 5, 0.5, 3]))
    assert 'narrower than one pixel' in report.notes[0]


def test_file_of_another_format(spoil):
    with pytest.raises(UserError, match=r"has no list 'categories'"):
        spoil(lambda content, _: content.pop('categories'))
