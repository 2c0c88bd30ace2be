import shutil

import numpy as np
import pytest
from PIL import Image

from mmanchor.data_check.check import check_data
from mmanchor.data_check.report import spread
from mmanchor.utils.config import load_config


@pytest.fixture
def data(tiny, tmp_path):
    """A copy of the tiny data that may be spoiled."""
    shutil.copytree(tiny / 'data', tmp_path / 'data')
    return tmp_path / 'data'


def check(tiny, data, limit=None, **dataset):
    cfg = load_config(tiny / 'seg.py')
    cfg.train_dataloader.dataset.data_root = str(data)
    cfg.train_dataloader.dataset.update(dataset)
    (report,) = check_data(cfg, ['train'], limit)
    return report


def codes(report):
    return {problem.code: problem for problem in report.problems}


def write_mask(data, pixels, name='train_000'):
    Image.fromarray(pixels).save(data / f'annotations/training/{name}.png')


def test_sound_data_is_clean(tiny):
    reports = check_data(load_config(tiny / 'seg.py'))
    assert [report.splits for report in reports] == [['train'], ['val', 'test']]
    assert not any(report.problems for report in reports)
    assert reports[0].counts == {'images': 6, 'masks': 6, 'files read': 6}
    (note,) = reports[0].notes
    assert 'labels 1 to 4 are the classes 0 to 3' in note


def test_unmatched_files_are_named(tiny, data):
    (data / 'images/training/train_001.jpg').unlink()
    (data / 'annotations/training/train_002.png').unlink()
    found = codes(check(tiny, data))
    assert found['mask_without_image'].examples == ['train_001']
    assert found['image_without_mask'].examples == ['train_002']


def test_labels_beyond_the_classes(tiny, data):
    write_mask(data, np.full((32, 32), 5, np.uint8))
    problem = codes(check(tiny, data))['labels']
    assert problem.examples == ['train_000: [5]']
    assert 'allowed: 1 to 4, 0 and 255' in problem.message


def test_255_is_ignored_with_and_without_reduction(tiny, data):
    for path in (data / 'annotations/training').iterdir():
        Image.fromarray(np.array([[1, 2, 255, 255]], np.uint8)).resize((32, 32), 0).save(path)
    assert not check(tiny, data).problems
    assert not check(tiny, data, reduce_zero_label=False).problems


def test_masks_counted_from_one_hint_at_reduction(tiny, data):
    for path in (data / 'annotations/training').iterdir():
        pixels = np.asarray(Image.open(path))
        Image.fromarray(np.maximum(pixels, 1)).save(path)
    problem = codes(check(tiny, data, reduce_zero_label=False))['labels']
    assert 'reduce_zero_label=True' in problem.message


def test_other_ignore_index_is_allowed(tiny, data):
    for path in (data / 'annotations/training').iterdir():
        pixels = np.full((32, 32), 99, np.uint8)
        pixels[:8], pixels[8:16] = 0, 1
        write_mask(data, pixels, path.stem)
    options = dict(reduce_zero_label=False, ignore_index=99)
    assert not check(tiny, data, **options).problems
    options['ignore_index'] = 98
    assert codes(check(tiny, data, **options))['labels'].count == 6


@pytest.mark.parametrize(
    'pixels, code',
    [
        (np.ones((32, 32, 3), np.uint8), 'mask_channels'),
        (np.full((32, 32), 257, np.uint16), 'mask_channels'),
        (np.ones((16, 32), np.uint8), 'size'),
    ],
)
def test_masks_of_another_shape(tiny, data, pixels, code):
    write_mask(data, pixels)
    assert list(codes(check(tiny, data))) == [code]


def test_palette_masks_hold_indices(tiny, data):
    image = Image.fromarray(np.full((32, 32), 2, np.uint8))
    image.putpalette([255, 0, 0] * 256)
    image.save(data / 'annotations/training/train_000.png')
    assert not check(tiny, data).problems


def write_all(data, pixels, suffix='png'):
    for path in (data / 'annotations/training').iterdir():
        path.unlink()
        Image.fromarray(np.asarray(pixels, np.uint8)).resize((32, 32), 0).save(
            path.with_suffix(f'.{suffix}')
        )


TWO = dict(reduce_zero_label=False, metainfo=dict(classes=('ground', 'water')))
ONE = dict(reduce_zero_label=False, metainfo=dict(classes=('water',)))


@pytest.mark.parametrize(
    'pixels, dataset, code, cure',
    [
        ([[0, 255]], TWO, 'black_and_white', 'write the class index 1 in place of 255'),
        ([[255]], TWO, 'all_ignored', 'write class indices 0, 1'),
        ([[0]], TWO, 'single_value', 'check that the masks hold class indices'),
        ([[1, 255]], TWO, 'single_value', 'a single class of 2'),
        ([[0, 255]], ONE, 'one_class', "classes=('background', NAME)"),
        ([[0, 255]], {}, 'all_ignored', 'with reduce_zero_label=True classes count from 1'),
        ([[0, 1]], ONE, 'labels', 'out_channels=1 and use_sigmoid=True'),
    ],
)
def test_masks_that_teach_nothing(tiny, data, pixels, dataset, code, cure):
    write_all(data, pixels)
    report = check(tiny, data, limit=1, **dataset)
    problem = codes(report)[code]
    assert cure in problem.message and problem.fatal
    assert report.counts['files read'] == 6, 'a few masks are no proof'


def test_a_rare_class_is_found_beyond_the_limit(tiny, data):
    write_all(data, [[0]])
    write_mask(data, np.ones((32, 32), np.uint8), 'train_005')
    assert not codes(check(tiny, data, limit=1, **TWO)).keys() & {'single_value', 'labels'}


def test_jpeg_masks_are_reported(tiny, data):
    write_all(data, [[0, 1]], 'jpg')
    report = check(tiny, data, seg_map_suffix='.jpg', **TWO)
    assert 'save masks as PNG' in codes(report)['lossy_mask'].message


def test_labels_above_255_wrap(tiny, data):
    write_mask(data, np.full((32, 32), 769, np.uint16))
    (example,) = codes(check(tiny, data))['mask_channels'].examples
    assert example.startswith('train_000 has 16 bits') and '769 would become 1' in example


def test_suffixes_that_differ_by_case(tiny, data):
    path = data / 'images/training/train_000.jpg'
    path.rename(path.with_suffix('.JPG'))
    problem = codes(check(tiny, data))['suffix_case']
    assert problem.examples == ['train_000.JPG'] and "'.jpg' in another case" in problem.message


def test_hidden_files_are_no_images(tiny, data):
    (data / 'images/training/._train_000.jpg').write_bytes(b'of another system')
    assert not check(tiny, data).problems


def test_classes_written_as_text(tiny, data):
    (problem,) = check(tiny, data, metainfo=dict(classes='water')).problems
    assert problem.fatal and "classes=('water',)" in problem.message


def test_classes_that_the_type_does_not_have(tiny, data):
    names = ('wall', 'hoop', 'sky')
    report = check(tiny, data, type='ADE20KDataset', metainfo=dict(classes=names))
    (problem,) = (each for each in report.problems if each.code == 'foreign_classes')
    assert "has 'hoop', which are none of the 150 classes of ADE20KDataset" in problem.message
    assert "type='BaseSegDataset'" in problem.message and problem.fatal
    names = ('wall', 'sky')
    report = check(tiny, data, type='ADE20KDataset', metainfo=dict(classes=names))
    assert 'foreign_classes' not in codes(report)


def test_pixels_and_images_are_counted_by_class(tiny, data):
    write_all(data, [[1, 1, 1, 2]])
    shares = check(tiny, data).per_class
    assert shares['ground'] == {'images': 6, '% of pixels': 75}
    assert shares['red'] == {'images': 6, '% of pixels': 25}
    assert shares['blue'] == {'images': 0, '% of pixels': 0}


def turn(data, image_name='train_000'):
    """Give an image an orientation, which swaps its sides."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = data / f'images/training/{image_name}.jpg'
    Image.fromarray(np.zeros((16, 32, 3), np.uint8)).save(path, exif=exif)


def test_a_turned_image_needs_a_turned_mask(tiny, data):
    turn(data)
    write_mask(data, np.full((32, 16), 1, np.uint8))
    assert not check(tiny, data).problems
    write_mask(data, np.full((16, 32), 1, np.uint8))
    (example,) = codes(check(tiny, data))['size'].examples
    assert 'image 16 x 32, turned by its EXIF orientation' in example


def test_a_loader_that_ignores_orientation_needs_the_stored_mask(tiny, data):
    turn(data)
    write_mask(data, np.full((16, 32), 1, np.uint8))
    load = dict(type='LoadImageFromFile', color_type='color_ignore_orientation')
    assert not check(tiny, data, pipeline=[load]).problems


def test_torn_files_are_found(tiny, data):
    image = data / 'images/training/train_000.jpg'
    image.write_bytes(image.read_bytes()[:400])
    (data / 'annotations/training/train_001.png').write_text('no mask')
    found = codes(check(tiny, data))
    assert 'train_000.jpg is a JPEG that ends too early' in found['unreadable_image'].examples[0]
    assert found['unreadable_mask'].examples[0].startswith('train_001: ')


def test_list_of_files_chooses_pairs(tiny, data):
    (data / 'list.txt').write_text('train_000\ntrain_003\nabsent\n')
    report = check(tiny, data, ann_file='list.txt')
    assert report.counts['images'] == 3 and report.counts['masks'] == 2
    assert codes(report)['image_without_mask'].examples == ['absent']
    assert 'unreadable_image' in codes(report)


def test_limit_reads_less(tiny, data):
    assert check(tiny, data, limit=2).counts['files read'] == 2


def test_reading_is_spread_evenly():
    assert list(spread(list(range(10)), 3)) == [0, 3, 6]
    assert list(spread([1, 2], None)) == [1, 2] == list(spread([1, 2], 9))


def test_heads_that_do_not_fit_the_classes(tiny):
    cfg = load_config(tiny / 'seg.py', {'model.decode_head.num_classes': 7})
    (report,) = check_data(cfg, ['train'])
    message = codes(report)['num_classes'].message
    assert 'model.decode_head.num_classes is 7' in message


def test_pipeline_that_contradicts_the_data_set(tiny):
    cfg = load_config(tiny / 'seg.py')
    cfg.train_dataloader.dataset.pipeline[1].reduce_zero_label = False
    (report,) = check_data(cfg, ['train'])
    assert list(codes(report)) == ['reduce_zero_label']


def test_subset_of_known_classes_keeps_the_numbers_of_the_masks(tiny, data):
    write_mask(data, np.full((32, 32), 150, np.uint8))
    classes = ('wall', 'building', 'sky', 'floor')
    report = check(tiny, data, type='ADE20KDataset', metainfo=dict(classes=classes))
    assert not report.problems
