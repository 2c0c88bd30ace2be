import copy
import json
from contextlib import redirect_stdout

import numpy as np
import pytest
from mmdet.evaluation import CocoMetric
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from report_records import CLASSES, detection_samples, score

from mmanchor.reports.analysis import analyze
from mmanchor.reports.coco_files import record_of_coco
from mmanchor.reports.coco_matches import evaluate
from mmanchor.reports.records import Record
from mmanchor.reports.tide import error_costs
from mmanchor.utils.errors import UserError


@pytest.fixture(scope='module')
def tested(tmp_path_factory):
    folder = tmp_path_factory.mktemp('boxes')
    samples, path = detection_samples(folder)
    metric = CocoMetric(str(path), classwise=True, outfile_prefix=str(folder / 'found'))
    scores, record = score('detection', samples, [metric])
    with redirect_stdout(None):
        truth = COCO(str(path))
        coco_eval = COCOeval(truth, truth.loadRes(str(folder / 'found.bbox.json')), 'bbox')
        for step in ('evaluate', 'accumulate', 'summarize'):
            getattr(coco_eval, step)()
    return scores, record, coco_eval, folder


def record_of_boxes(truth, found, num_images=1):
    """A record of (image, label, box, ...) rows; predictions have a score."""
    arrays = dict(image_id=np.arange(num_images))
    for name, rows in dict(truth=truth, pred=found).items():
        arrays[f'{name}_image'] = np.array([row[0] for row in rows], int)
        arrays[f'{name}_label'] = np.array([row[1] for row in rows], int)
        arrays[f'{name}_box'] = np.array([row[2] for row in rows], float).reshape(-1, 4)
    arrays['truth_area'] = arrays['truth_box'][:, 2:].prod(1)
    arrays['truth_crowd'] = np.array([len(row) > 3 for row in truth], int)
    arrays['pred_score'] = np.array([row[3] for row in found], float)
    return Record('detection', list(CLASSES), [''] * num_images, arrays)


def test_scores_are_those_of_pycocotools(tested):
    _, record, coco_eval, _ = tested
    found = analyze(record).headline
    names = ['AP', 'AP50', 'AP75', 'AP small', 'AP medium', 'AP large']
    expected = dict(zip([*names, 'AR'], coco_eval.stats[[0, 1, 2, 3, 4, 5, 8]], strict=True))
    for name, value in expected.items():
        assert found[name] == pytest.approx(value if value >= 0 else np.nan, abs=1e-12, nan_ok=True)


def test_scores_are_those_of_coco_metric(tested):
    scores, record, *_ = tested
    analysis = analyze(record)
    assert 0.05 < scores['coco/bbox_mAP'] < 0.95
    assert round(analysis.headline['AP'], 3) == scores['coco/bbox_mAP']
    for row in analysis.table.rows[:2]:
        assert round(row[2], 3) == scores[f'coco/{row[0]}_precision']


def test_curves_are_those_of_pycocotools(tested):
    _, record, coco_eval, _ = tested
    curves = analyze(record)._precision
    expected = coco_eval.eval['precision'][..., 0, -1].transpose(2, 0, 1)
    np.testing.assert_array_equal(curves[:2], expected[:2])


def test_weights_count_images_several_times(tested):
    _, record, *_ = tested
    weights = np.array([3, 0, 1, 2] * 3)
    twice = copy.deepcopy(record)
    rows = {name: twice.arrays[f'{name}_image'] for name in ('truth', 'pred')}
    copies = np.repeat(np.arange(12), weights)
    for name, image in rows.items():
        chosen = [np.nonzero(image == index)[0] for index in copies]
        for key in [key for key in record.arrays if key.startswith(name)]:
            twice.arrays[key] = np.concatenate([record.arrays[key][each] for each in chosen])
        sizes = [len(each) for each in chosen]
        twice.arrays[f'{name}_image'] = np.repeat(np.arange(len(copies)), sizes)
    twice.images = [''] * len(copies)
    found = analyze(record).weighted(weights)
    np.testing.assert_allclose(found, analyze(twice).weighted(), atol=1e-12)


def test_files_give_the_same_record(tested):
    _, record, _, folder = tested
    read = record_of_coco(folder / 'found.bbox.json', folder / 'truth.json', folder)
    assert read.classes == record.classes and read.images == record.images
    for name, values in record.arrays.items():
        np.testing.assert_array_equal(values, read.arrays[name], name)


def test_samples_serve_without_an_annotation_file(tested):
    _, record, _, folder = tested
    samples, _ = detection_samples(folder)
    with_truth, without = [], []
    for index, sample in enumerate(samples[::-1]):
        rows = record.arrays['truth_image'] == index
        box = record.arrays['truth_box'][rows].copy()
        box[:, 2:] += box[:, :2]
        labels, crowd = (record.arrays[f'truth_{name}'][rows] for name in ('label', 'crowd'))
        parts = {}
        for name, chosen in dict(gt_instances=crowd == 0, ignored_instances=crowd == 1).items():
            parts[name] = dict(bboxes=_tensor(box[chosen]), labels=_tensor(labels[chosen]))
        with_truth.append({**sample, **parts})
        without.append(sample)
    found = score('detection', with_truth, [])[1]
    assert analyze(found).headline['AP'] == pytest.approx(analyze(record).headline['AP'])
    with pytest.raises(ValueError, match='--report needs LoadAnnotations'):
        score('detection', without, [])


def _tensor(values):
    import torch

    return torch.from_numpy(values)


BOX, NEAR, FAR = [10, 10, 20, 20], [10, 18, 20, 20], [70, 70, 20, 20]


@pytest.mark.parametrize(
    'found, kinds',
    [
        ([(0, 0, BOX, 0.9)], {}),
        ([(0, 1, BOX, 0.9)], dict(classification=1)),
        ([(0, 0, NEAR, 0.9)], dict(localization=1)),
        ([(0, 1, NEAR, 0.9)], dict(both=1, missed=1)),
        ([(0, 0, BOX, 0.9), (0, 0, BOX, 0.8)], dict(duplicate=1)),
        ([(0, 0, BOX, 0.9), (0, 0, FAR, 0.95)], dict(background=1)),
        ([], dict(missed=1)),
    ],
)
def test_errors_have_their_kind_and_cost(found, kinds):
    record = record_of_boxes([(0, 0, BOX)], found)
    gains, counts = error_costs(record, evaluate(record))
    assert {name: count for name, count in counts.items() if count} == kinds
    base = analyze(record).headline['AP50']
    mended = {'classification', 'localization'} & set(kinds)
    for name in mended:
        assert base + gains[name] == pytest.approx(1)
    if 'background' in kinds:
        assert gains['background'] == pytest.approx(0.5)


def test_only_the_best_of_several_boxes_mends_an_object():
    # The second box of the wrong class would be a duplicate after the first is mended.
    record = record_of_boxes([(0, 0, BOX)], [(0, 1, BOX, 0.9), (0, 2, BOX, 0.8)])
    gains, counts = error_costs(record, evaluate(record))
    assert counts['classification'] == 2 and gains['classification'] == pytest.approx(1)


def test_a_box_that_is_better_of_another_kind_mends_an_object():
    record = record_of_boxes([(0, 0, BOX)], [(0, 1, BOX, 0.8), (0, 0, NEAR, 0.9)])
    gains, _ = error_costs(record, evaluate(record))
    assert gains['localization'] == pytest.approx(1) and gains['classification'] == 0


def test_a_class_that_was_missed_altogether_gains_nothing():
    record = record_of_boxes([(0, 0, BOX), (0, 1, FAR)], [(0, 0, BOX, 0.8)])
    gains, counts = error_costs(record, evaluate(record))
    assert counts['missed'] == 1 and gains['missed'] == 0


def test_the_confusion_matrix_knows_background_and_crowds():
    truth = [(0, 0, BOX), (0, 1, FAR), (0, 2, [40, 40, 25, 25], 'crowd')]
    found = [
        (0, 1, BOX, 0.9),  # the wrong class
        (0, 2, [0, 70, 20, 20], 0.8),  # on nothing
        (0, 2, [41, 41, 10, 10], 0.7),  # in the crowd
        (0, 1, FAR, 0.1),  # below the threshold
    ]
    matrix = analyze(record_of_boxes(truth, found), 0.3)._confusion()
    expected = np.zeros((4, 4), int)
    expected[0, 1] = expected[1, 3] = expected[3, 2] = 1
    np.testing.assert_array_equal(matrix, expected)


def test_images_are_rated_by_their_boxes():
    found = [(0, 0, BOX, 0.9), (1, 1, BOX, 0.9)]
    analysis = analyze(record_of_boxes([(0, 0, BOX), (1, 0, BOX)], found, 3))
    np.testing.assert_array_equal(analysis.image_scores, [1, 0, np.nan])
    assert analysis.caption(1) == '0.000 · 0 right, 1 wrong, 1 missed'


@pytest.mark.parametrize(
    'content, message',
    [
        ('{}', 'found'),
        ('[1]', 'must be a list of image_id'),
        ('no json', 'is not a JSON file'),
        ([dict(image_id=999, category_id=10, bbox=[0, 0, 1, 1], score=1)], 'another data set'),
        ([dict(image_id=50, category_id=7, bbox=[0, 0, 1, 1], score=1)], 'category_id 7 is not'),
        ([dict(image_id=50, category_id=10, bbox=[0, 0, 1], score=1)], 'not four numbers'),
        (
            [dict(image_id=[50], category_id=10, bbox=[0, 0, 1, 1], score=1)],
            r'image_id \[50\] is no',
        ),
        ([dict(image_id=50, category_id=10, bbox=[0, 0, 1, 1], score=np.nan)], 'score nan is no'),
    ],
)
def test_wrong_predictions_are_named(tested, tmp_path, content, message):
    path = tmp_path / 'x.bbox.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    if content == '{}':
        path = tmp_path / 'x.pkl'
        message = 'pickles can run code'
    with pytest.raises(ValueError, match=message):
        record_of_coco(path, tested[-1] / 'truth.json')


ANNOTATION = dict(id=1, image_id=50, category_id=10, bbox=[0, 0, 4, 5])


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(images=[]), 'lists no images'),
        (dict(categories=[]), 'lists no categories'),
        (dict(annotations=[{**ANNOTATION, 'bbox': [1, 2]}]), 'boxes that are not four finite'),
        (dict(annotations=[dict(id=1, category_id=10)]), 'whose image_id is not a whole number'),
        (dict(categories=[dict(id=10)]), 'categories whose name is not text'),
    ],
)
def test_truth_that_serves_for_nothing_is_named(tested, tmp_path, change, message):
    truth = json.loads((tested[-1] / 'truth.json').read_text())
    (tmp_path / 'truth.json').write_text(json.dumps(truth | change))
    with pytest.raises(UserError, match=f'--ann .*truth.json.* {message}'):
        record_of_coco(tested[-1] / 'found.bbox.json', tmp_path / 'truth.json')


def test_truth_lacks_what_no_score_needs(tested, tmp_path):
    truth = json.loads((tested[-1] / 'truth.json').read_text())
    bare = {key: value for key, value in ANNOTATION.items() if key != 'id'}
    lost = {key: value for key, value in ANNOTATION.items() if key != 'category_id'}
    truth['annotations'] = [bare, {**ANNOTATION, 'area': None, 'iscrowd': None}, lost]
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    arrays = record_of_coco(tested[-1] / 'found.bbox.json', tmp_path / 'truth.json').arrays
    assert arrays['truth_area'].tolist() == [20, 20] and arrays['truth_crowd'].tolist() == [0, 0]
