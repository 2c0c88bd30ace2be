"""The strict COCO data set: classes, boxes, images."""

import json

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image
from tiny_project import THINGS, make_data
from torch.utils.data import DataLoader

from mmanchor.datasets import UnreadableImageError
from mmanchor.utils.errors import UserError

LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]
NAN = float('nan')


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path, num_train=4)


@pytest.fixture
def build(data):
    """Build the data set after ``change(annotations)``."""

    def run(change=lambda content: None, classes=THINGS, more=(), **options):
        path = data / 'annotations' / 'instances_train.json'
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return DATASETS.build(
            {
                'type': 'mmanchor.CocoDataset',
                'data_root': str(data),
                'ann_file': 'annotations/instances_train.json',
                'data_prefix': dict(img='images/training'),
                'metainfo': dict(classes=classes),
                'pipeline': [*LOAD, *more, dict(type='PackDetInputs')],
                **options,
            }
        )

    return run


def set_box(box, index=0, **more):
    return lambda content: content['annotations'][index].update(bbox=box, **more)


@pytest.fixture
def said(monkeypatch):
    """What the data set logs while loading."""
    texts = []
    monkeypatch.setattr('mmanchor.datasets.coco.print_log', lambda text, **_: texts.append(text))
    return texts


def boxes(dataset, index=0):
    return dataset[index]['data_samples'].gt_instances.bboxes.tensor.tolist()


def test_mmdet_itself_knows_nothing_of_this(build):
    classes = ('Red', 'violet')
    assert len(build(classes=classes, type='CocoDataset').cat_ids) == 0
    with pytest.raises(UserError):
        build(classes=classes)


@pytest.mark.parametrize(
    'classes, message',
    [
        (
            ('red', 'violet', 'Green'),
            r'instances_train.json: classes of metainfo .*: violet, Green \(near '
            r"'green'\); categories .*not have: green, blue",
        ),
        (('blue', 'green', 'red'), r"write classes=\('red', 'green', 'blue'\)"),
    ],
)
def test_classes_must_fit_the_file(build, classes, message):
    with pytest.raises(UserError, match=message):
        build(classes=classes)


def test_categories_that_share_a_name(build):
    with pytest.raises(UserError, match='share a name: red'):
        build(lambda content: content['categories'][1].update(name='red'), ('red', 'blue'))


def test_some_of_the_categories_are_enough(build):
    dataset = build(classes=('red', 'blue'))
    assert dataset.cat_ids == [1, 3]
    assert [len(boxes(dataset, i)) for i in range(4)] == [1, 0, 1, 1]


@pytest.mark.parametrize(
    'box', [[1, 2, 3, NAN], [1, float('inf'), 3, 4], [1, 2, 3], [1, 2, 3, None], None]
)
def test_boxes_must_be_finite(build, box):
    with pytest.raises(UserError, match=r'train.json: 1 boxes that are not .*annotation 3: '):
        build(set_box(box, 2))


@pytest.mark.parametrize(
    'box, expected',
    [
        ([-5, 20, 15, 30], [[0, 20, 10, 32]]),
        ([20, -1e9, 1e9, 2e9], [[20, 0, 32, 32]]),
        ([4, 5, 6, 7], [[4, 5, 10, 12]]),
        ([40, 5, 6, 7], []),
        ([4, 5, 0, 7], []),
        ([4, 5, 6, -7], []),
        ([-5, 5, 5.5, 7], []),
    ],
)
def test_boxes_end_at_the_border(build, box, expected):
    assert boxes(build(set_box(box))) == expected


def test_annotations_may_lack_the_area(build):
    dataset = build(lambda content: content['annotations'][0].pop('area'))
    assert len(boxes(dataset)) == 1


@pytest.mark.parametrize('field', ['area', 'iscrowd'])
@pytest.mark.parametrize('value', [None, 'much', NAN])
def test_area_and_crowds_that_are_no_numbers_are_replaced(build, field, value):
    dataset = build(lambda content: content['annotations'][0].update({field: value}))
    assert len(boxes(dataset)) == 1


def test_repeated_annotation_ids_are_renumbered_with_a_warning(build, said):
    dataset = build(lambda content: [each.update(id=0) for each in content['annotations']])
    assert [len(boxes(dataset, i)) for i in range(4)] == [1, 1, 1, 1]
    (warning,) = (text for text in said if 'renumbered' in text)
    assert 'instances_train.json: 3 annotations whose id is missing, repeated' in warning
    assert 'annotations[1]: id 0' in warning


def test_one_line_counts_what_was_clipped_dropped_and_empty(build, said):
    def change(content):
        set_box([-5, 5, 20, 20], 0)(content)
        set_box([5, 5, 0.5, 4], 1)(content)

    build(change)
    (line,) = said
    assert '4 images, 3 boxes; 1 boxes were clipped to their image, 1 dropped' in line
    assert '1 images have no box' in line


def test_boxes_of_other_classes_are_not_counted_as_dropped(build, said):
    build(classes=('red',))
    assert '0 dropped' in said[0] and '2 images have no box' in said[0]


def many(content, box):
    """Twelve more annotations of one box."""
    first = content['annotations'][0]
    content['annotations'] += [dict(first, id=100 + i, bbox=box) for i in range(40)]


def test_losing_almost_all_boxes_is_an_error_in_training_only(build):
    def change(content):
        many(content, [0.1, 0.2, 0.3, 0.4])

    with pytest.raises(UserError, match=r'4 boxes; .* 40 dropped .*in pixels of the image'):
        build(change)
    assert len(build(test_mode=True)) == 4


@pytest.mark.parametrize(
    'key, field, value, message',
    [
        ('images', 'width', '32', r"1 images whose width .*\(images\[1\]: width '32'\)"),
        ('images', 'height', None, r'1 images whose width .*\(images\[1\]: height None\)'),
        ('images', 'file_name', None, r'1 images without a file_name'),
        ('images', 'file_name', 7, r'1 images without a file_name'),
        ('images', 'id', 1, r'1 images that share their id; .*\(id 1\)'),
        ('images', 'id', '2', r"images whose id is not a whole number; .*images\[1\]: id '2'"),
        ('categories', 'name', None, r'1 categories whose name is not text'),
        ('categories', 'id', 1, r'1 categories that share their id or name; .*\(id 1\)'),
        ('annotations', 'image_id', '2', r'annotations whose image_id is not .*\(annotation 2:'),
        ('annotations', 'image_id', [1], r'annotations whose image_id is not .*\(annotation 2:'),
        ('annotations', 'bbox', [1, 2, 3, 10**400], r'not four finite numbers .*\(annotation 2:'),
        ('annotations', 'bbox', [True, 2, 3, 4], r'not four finite numbers .*\(annotation 2:'),
    ],
)
def test_entries_that_would_be_read_wrongly_are_errors(build, key, field, value, message):
    with pytest.raises(UserError, match=f'instances_train.json: .*{message}'):
        build(lambda content: content[key][1].update({field: value}))


def test_classes_written_as_text(build):
    with pytest.raises(UserError, match=r"the text 'red', not a list .* classes=\('red',\)"):
        build(classes='red')


def test_deep_json_is_no_coco_file(build, data):
    path = data / 'annotations' / 'deep.json'
    path.write_text('[' * 100_000)
    with pytest.raises(UserError, match=r'deep.json.*nested too deeply'):
        build(ann_file=str(path))


def test_crowds_are_not_trained_on(build):
    sample = build(set_box([4, 5, 6, 7], iscrowd=1))[0]['data_samples']
    assert len(sample.gt_instances) == 0
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[4, 5, 10, 12]]


@pytest.mark.parametrize(
    'change',
    [
        set_box([40, 5, 6, 7]),
        set_box([4, 5, 6, 7], iscrowd=1),
        lambda content: content['annotations'].pop(0),
    ],
)
def test_images_without_boxes_can_be_left_out(build, change):
    assert len(build(change)) == 4
    assert len(build(filter_cfg=dict(filter_empty_gt=True))) == 3
    assert len(build(filter_cfg=dict(filter_empty_gt=True), test_mode=True)) == 4


def test_nothing_left_is_an_error(build):
    with pytest.raises(UserError, match='no image'):
        build(lambda content: content['annotations'].clear(), filter_cfg=dict(filter_empty_gt=True))


def test_file_of_another_format(build):
    with pytest.raises(UserError, match='must be a JSON file in COCO format'):
        build(lambda content: content.pop('categories'))


def image(data, index):
    return data / 'images' / 'training' / f'train_{index:03d}.jpg'


@pytest.fixture
def torn(data):
    """A JPEG whose lower half is missing."""
    path = image(data, 1)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 120])
    return str(path)


def test_another_image_takes_the_place(build, torn, monkeypatch):
    warnings = []
    monkeypatch.setattr(
        'mmanchor.datasets.reading.print_log', lambda text, **_: warnings.append(text)
    )
    dataset = build()
    sample = dataset[1]['data_samples']
    assert sample.img_path != torn
    assert sample.skipped_files == (torn,)
    assert len(warnings) == 1
    assert f'{torn} is a JPEG that ends too early' in warnings[0]
    assert not hasattr(dataset[0]['data_samples'], 'skipped_files')


def test_the_place_is_taken_by_the_seed(build, torn):
    dataset = build()
    chosen = []
    for seed in (0, 0, 0, 1, 2, 3):
        np.random.seed(seed)
        chosen.append(dataset[1]['data_samples'].img_id)
    assert len(set(chosen[:3])) == 1 and len(set(chosen)) > 1


@pytest.mark.parametrize('content', [b'', b'\x89PNG\r\n\x1a\nbut no more'])
def test_files_that_are_no_images(build, data, content):
    image(data, 2).write_bytes(content)
    sample = build()[2]['data_samples']
    assert sample.skipped_files == (str(image(data, 2)),)


def test_missing_images(build, data):
    image(data, 2).unlink()
    assert 'skipped_files' in build()[2]['data_samples']


def test_scores_do_not_change_in_silence(build, torn):
    with pytest.raises(UnreadableImageError, match=torn):
        build(test_mode=True)[1]


# Ending a worker takes torch five seconds.
@pytest.mark.parametrize('workers', [0, pytest.param(1, marks=pytest.mark.slow)])
def test_no_image_at_all_is_an_error(build, data, workers):
    for index in range(4):
        image(data, index).write_bytes(b'nothing')
    loader = DataLoader(build(), num_workers=workers, collate_fn=list)
    with pytest.raises(
        UnreadableImageError, match=r'100 files in a row cannot be read, the last one: .*jpg'
    ) as error:
        next(iter(loader))
    assert 'Traceback' not in str(error.value)


def test_errors_of_the_pipeline_stay_what_they_are(build):
    dataset = build(more=[dict(type='RandomCrop', crop_size=(8, 8))])
    dataset.pipeline.transforms[2].crop_type = 'absolute_range'
    dataset.pipeline.transforms[2].crop_size = None
    with pytest.raises(TypeError):
        dataset[0]


def test_a_crop_may_lose_all_boxes(build):
    crop = dict(type='RandomCrop', crop_size=(4, 4))
    corner = set_box([0, 0, 2, 2])
    for index in range(4):
        content = boxes(build(more=[crop]), index)
        assert content
    empty = build(corner, more=[dict(crop, allow_negative_crop=True)])
    assert min(len(boxes(empty)) for _ in range(20)) == 0


def save(path, array, **options):
    Image.fromarray(array).save(path.with_suffix('.png'), **options)
    path.with_suffix('.png').rename(path)


@pytest.mark.parametrize(
    'array',
    [
        np.full((32, 32), 7, np.uint8),
        np.full((32, 32), 7 * 257, np.uint16),
        np.full((32, 32, 4), 7, np.uint8),
        np.full((1, 1, 3), 7, np.uint8),
    ],
)
def test_images_of_all_kinds_have_three_channels(build, data, array):
    save(image(data, 0), array)
    sample = build()[0]
    assert sample['inputs'].shape == (3, *array.shape[:2])
    assert sample['inputs'].unique().tolist() == [7]


def test_images_are_turned_as_their_camera_was_held(build, data):
    pixels = np.zeros((16, 32, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by a quarter
    Image.fromarray(pixels).save(image(data, 0), exif=exif)
    assert build()[0]['inputs'].shape == (3, 32, 16)


def test_recipe_survives_one_pixel(build, data):
    save(image(data, 0), np.full((1, 1, 3), 7, np.uint8))
    dataset = build(
        set_box([0, 0, 1, 1]),
        more=[
            dict(type='mmanchor.RandomObjectCrop'),
            dict(type='PhotoMetricDistortion'),
            dict(type='Resize', scale=(64, 64), keep_ratio=False, interpolation='bicubic'),
        ],
    )
    sample = dataset[0]
    assert sample['inputs'].shape == (3, 64, 64)
    assert torch.isfinite(sample['inputs']).all()
    assert boxes(dataset) == [[0, 0, 64, 64]]
