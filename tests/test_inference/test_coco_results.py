"""Boxes as files: ids, and scores that pycocotools confirms."""

import json

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tiny_project import THINGS

from mmanchor.apis.test import test_model as score
from mmanchor.cli.main import main
from mmanchor.inference.coco_results import CocoResults
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError

pytestmark = pytest.mark.usefixtures('plain_configs')


@pytest.fixture(scope='module')
def checkpoint(tiny, tmp_path_factory):
    """A PicoDet that knows nothing, and says so of many boxes."""
    from mmdet.apis import init_detector

    path = tmp_path_factory.mktemp('random') / 'p.pth'
    torch.manual_seed(0)
    model = init_detector(str(tiny / 'picodet.py'), None, 'random', 'cpu')
    for module in model.modules():
        # So that the boxes of an image differ in their scores.
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    torch.save(dict(meta={}, state_dict=model.state_dict()), path)
    return path


@pytest.fixture
def ann_file(tiny):
    return tiny / 'data/annotations/instances_train.json'


def averages(ann_file, results):
    """pycocotools' twelve numbers."""
    truth = COCO(str(ann_file))
    run = COCOeval(truth, truth.loadRes(str(results)), 'bbox')
    run.evaluate()
    run.accumulate()
    run.summarize()
    return run.stats


def metrics_of(stats):
    names = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
    return {f'coco/bbox_{name}': x for name, x in zip(names, stats[:6], strict=True)}


def guesses(ann_file, seed=0):
    """Boxes near the truth, some of them of a wrong class, by image."""
    rng = np.random.default_rng(seed)
    data = json.loads(ann_file.read_text())
    for image in data['images']:
        boxes = [
            np.array(each['bbox']) + rng.normal(0, 1.5, 4)
            for each in data['annotations']
            if each['image_id'] == image['id']
        ] * 2
        labels = rng.integers(0, 3, len(boxes))
        labels[::2] = [
            each['category_id'] - 1
            for each in data['annotations']
            if each['image_id'] == image['id']
        ]
        yield image, boxes, labels, rng.uniform(0.1, 1, len(boxes))


def test_results_have_the_scores_of_mmdets_metric(ann_file, tmp_path):
    results = CocoResults(THINGS, ann_file)
    metric = CocoMetric(str(ann_file), format_only=False)
    metric.dataset_meta = dict(classes=THINGS)
    for image, boxes, labels, scores in guesses(ann_file):
        found = [
            dict(category_id=int(label), bbox=list(box), score=float(s))
            for box, label, s in zip(boxes, labels, scores, strict=True)
        ]
        results.add(image['file_name'], 32, 32, found)
        boxes = torch.tensor(np.array(boxes))
        boxes[:, 2:] += boxes[:, :2]
        metric.process(
            {},
            [
                dict(
                    pred_instances=dict(
                        bboxes=boxes, labels=torch.tensor(labels), scores=torch.tensor(scores)
                    ),
                    img_id=image['id'],
                    ori_shape=(32, 32),
                )
            ],
        )
    results.write(tmp_path)
    expected = metric.evaluate(size=6)
    found = metrics_of(averages(ann_file, tmp_path / 'results.json'))
    assert 0.1 < expected['coco/bbox_mAP'] < 0.9
    for name, value in found.items():
        assert expected[name] == pytest.approx(value, abs=1e-3), name


def test_both_files_fit_each_other(ann_file, tmp_path):
    results = CocoResults(THINGS)
    for image, boxes, labels, scores in guesses(ann_file):
        results.add(
            image['file_name'],
            32,
            32,
            [
                dict(category_id=int(label), bbox=list(box), area=100.0, iscrowd=0, score=float(s))
                for box, label, s in zip(boxes, labels, scores, strict=True)
            ],
        )
    results.write(tmp_path)
    # What was found, taken for the truth, is found.
    stats = averages(tmp_path / 'predictions.json', tmp_path / 'results.json')
    assert stats[0] == 1
    coco = COCO(str(tmp_path / 'predictions.json'))
    names = {image['file_name'] for image in coco.loadImgs(coco.getImgIds())}
    assert names == {f'train_{i:03d}.jpg' for i in range(6)}
    assert [each['name'] for each in coco.loadCats([0, 1, 2])] == list(THINGS)


@pytest.fixture(scope='module')
def found(tiny, checkpoint, tmp_path_factory):
    """What predict finds, with the ids of the data."""
    folder = tmp_path_factory.mktemp('found')
    assert (
        main(
            [
                'predict',
                str(tiny / 'picodet.py'),
                str(checkpoint),
                str(tiny / 'data/images/training'),
                '--score-thr',
                '0',
                '--ann-file',
                str(tiny / 'data/annotations/instances_train.json'),
                '--out-dir',
                str(folder),
                '--no-overlays',
                '--batch-size',
                '4',
            ]
        )
        == 0
    )
    return folder


def test_what_test_writes_has_its_scores(tiny, tmp_path, checkpoint, found):
    # Some of what the model finds, moved a little, is now the truth.
    truth = json.loads((found / 'predictions.json').read_text())
    truth['annotations'] = truth['annotations'][::20]
    for index, each in enumerate(truth['annotations']):
        each['bbox'][0] += index % 5 * 0.4
    ann_file, out = tmp_path / 'truth.json', tmp_path / 'new/tiny.bbox.json'
    ann_file.write_text(json.dumps(truth))
    options = {
        'test_dataloader.dataset.ann_file': str(ann_file),
        'test_evaluator.ann_file': str(ann_file),
    }
    cfg = load_config(tiny / 'picodet.py', options, tmp_path / 'work')
    metrics = score(cfg, checkpoint, out=out)
    scores = metrics_of(averages(ann_file, out))
    assert 0.02 < scores['coco/bbox_mAP'] < 0.98
    for name, value in scores.items():
        assert metrics[name] == pytest.approx(value, abs=6e-4), name
    # And predict's boxes have the same scores.
    again = metrics_of(averages(ann_file, found / 'results.json'))
    assert again == pytest.approx(scores, abs=6e-4)


def test_batches_find_the_same_boxes(tiny, tmp_path, checkpoint, found, ann_file):
    main(
        [
            'predict',
            str(tiny / 'picodet.py'),
            str(checkpoint),
            str(tiny / 'data/images/training'),
            '--score-thr',
            '0',
            '--ann-file',
            str(ann_file),
            '--out-dir',
            str(tmp_path),
            '--no-overlays',
        ]
    )
    one_by_one = json.loads((tmp_path / 'results.json').read_text())
    batched = json.loads((found / 'results.json').read_text())
    assert len(one_by_one) == len(batched) > 100
    for first, second in zip(one_by_one, batched, strict=True):
        assert first['image_id'] == second['image_id']
        assert first['score'] == pytest.approx(second['score'], abs=1e-5)


def test_images_that_the_file_lacks_are_only_drawn(tiny, tmp_path, capsys, checkpoint, ann_file):
    data = json.loads(ann_file.read_text())
    data['images'] = data['images'][2:]
    shorter = tmp_path / 'shorter.json'
    shorter.write_text(json.dumps(data))
    words = ['predict', str(tiny / 'picodet.py'), str(checkpoint)]
    words += ['--ann-file', str(shorter), '--out-dir', str(tmp_path / 'out')]
    images = tiny / 'data/images'
    assert main([*words, str(images / 'training'), '--score-thr', '0']) == 0
    assert '2 images are not listed in' in capsys.readouterr().err
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert {one['image_id'] for one in results} == {3, 4, 5, 6}
    assert len(list((tmp_path / 'out/overlays').iterdir())) == 6
    assert main([*words, str(images / 'validation')]) == 1
    assert "lists none of the images, such as 'valid_000.jpg'" in capsys.readouterr().err


def test_segmentation_has_no_boxes(tiny, tmp_path, capsys, seg_checkpoint):
    assert (
        main(
            [
                'predict',
                str(tiny / 'seg.py'),
                str(seg_checkpoint),
                str(tiny / 'data/images/validation'),
                '--out-dir',
                str(tmp_path),
                '--ann-file',
                'any.json',
            ]
        )
        == 1
    )
    assert '--ann-file is for detection' in capsys.readouterr().err


@pytest.mark.parametrize(
    'content, message',
    [
        (None, 'No such file'),
        ('{', 'is not a JSON file in COCO format'),
        ('[]', 'is not a JSON file in COCO format'),
        ('{"images": [], "categories": [{"id": 4, "name": "Red"}]}', r"red \(near 'Red'\)"),
    ],
)
def test_files_that_do_not_fit(tmp_path, content, message):
    path = tmp_path / 'a.json'
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=f'--ann-file .*a.json.*{message}'):
        CocoResults(['red'], path)


def test_ids_go_by_names_not_by_order(tmp_path):
    data = dict(
        images=[dict(id='x7', file_name='a.png')],
        categories=[dict(id=id_, name=name) for id_, name in ((9, 'c'), (4, 'b'), (2, 'a'))],
    )
    (tmp_path / 'a.json').write_text(json.dumps(data))
    results = CocoResults(['a', 'c'], tmp_path / 'a.json')
    box = dict(bbox=[0, 0, 1, 1], score=0.5)
    results.add('a.png', 8, 8, [dict(box, category_id=i) for i in (0, 1)])
    results.write(tmp_path)
    written = json.loads((tmp_path / 'results.json').read_text())
    assert written == [
        dict(box, image_id='x7', category_id=2),
        dict(box, image_id='x7', category_id=9),
    ]
