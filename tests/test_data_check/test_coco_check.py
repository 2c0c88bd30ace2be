import json

import pytest
from tiny_project import make_data

from mmanchor.data_check.check import check_data
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError


@pytest.fixture
def spoil(tiny, tmp_path):
    """Check a copy of the tiny data after ``change(annotations, folder)``."""

    def run(change, **metainfo):
        data = make_data(tmp_path / 'data', num_train=3)
        path = data / 'annotations' / 'instances_train.json'
        content = json.loads(path.read_text())
        change(content, data / 'images' / 'training')
        path.write_text(json.dumps(content))
        cfg = load_config(tiny / 'det.py')
        cfg.train_dataloader.dataset.data_root = str(data)
        cfg.train_dataloader.dataset.metainfo.update(metainfo)
        (report,) = check_data(cfg, ['train'])
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


def test_torn_picture(spoil):
    report = spoil(lambda _, folder: (folder / 'train_000.jpg').write_bytes(b'\xff\xd8junk'))
    assert list(codes(report)) == ['unreadable_image']


def test_narrow_boxes_are_noted(spoil):
    report = spoil(lambda content, _: content['annotations'][0].update(bbox=[5, 5, 0.5, 3]))
    assert 'narrower than one pixel' in report.notes[0]


def test_file_of_another_format(spoil):
    with pytest.raises(UserError, match=r"has no list 'categories'"):
        spoil(lambda content, _: content.pop('categories'))
