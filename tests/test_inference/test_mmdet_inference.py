"""mmdet's own ways of running a detector, with one of ours."""

import json

import mmcv
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS
from tiny_project import THINGS

from mmanchor.cli.main import main
from mmanchor.inference import load
from mmanchor.utils.config import load_config

pytestmark = pytest.mark.usefixtures('plain_configs')
TTA_PIPELINE = """
_base_ = [{config!r}]
model = dict(backbone=dict(type='mmanchor.{backbone}'))
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='Resize', scale=(s, s), keep_ratio=False) for s in {sides}],
        [dict(type='RandomFlip', prob=p) for p in {flips}],
        [dict(type='LoadAnnotations', with_bbox=True)],
        [dict(type='PackDetInputs')]])]
"""


@pytest.fixture(scope='module', params=['ESNet', 'AnchorESNet'])
def backbone(request):
    return request.param


@pytest.fixture(scope='module')
def project(tiny, tmp_path_factory, backbone):
    """Paths of a config and of random weights that see what is there."""
    folder = tmp_path_factory.mktemp(backbone)
    config = folder / 'tiny.py'
    write_views(config, tiny, backbone, (64,), (0.0,))
    torch.manual_seed(0)
    model = init_detector(str(config), None, 'random', 'cpu')
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    meta = dict(dataset_meta=dict(classes=THINGS))
    checkpoint = folder / 'random.pth'
    torch.save(dict(meta=meta, state_dict=model.state_dict()), checkpoint)
    return str(config), str(checkpoint)


@pytest.fixture(scope='module')
def images(tiny):
    return [str(tiny / f'data/images/training/train_00{i}.jpg') for i in '012']


def write_views(path, tiny, backbone, sides, flips):
    path.write_text(
        TTA_PIPELINE.format(
            config=str(tiny / 'picodet.py'), backbone=backbone, sides=sides, flips=flips
        )
    )


def test_init_and_inference_detector(project, images):
    model = init_detector(*project, device='cpu')
    assert model.dataset_meta['classes'] == THINGS
    by_path = inference_detector(model, images)
    by_array = inference_detector(model, mmcv.imread(images[0]))
    ours = load(*project, device='cpu').predict(images, score_thr=0)
    for first, second in ((by_path[0], by_array), *zip(by_path, ours, strict=True)):
        first, second = first.pred_instances, second.pred_instances
        assert len(first) and (first.labels == second.labels).all()
        torch.testing.assert_close(first.bboxes, second.bboxes)
        torch.testing.assert_close(first.scores, second.scores)


def test_det_inferencer(project, images, tmp_path):
    config, checkpoint = project
    inferencer = DetInferencer(config, checkpoint, device='cpu', show_progress=False)
    results = inferencer(images, batch_size=2, out_dir=str(tmp_path), no_save_pred=False)
    model = init_detector(config, checkpoint, device='cpu')
    expected = inference_detector(model, images)
    for found, sample in zip(results['predictions'], expected, strict=True):
        np.testing.assert_allclose(found['scores'], sample.pred_instances.scores, rtol=1e-4)
        np.testing.assert_allclose(found['bboxes'], sample.pred_instances.bboxes, atol=1e-3)
    assert len(list((tmp_path / 'vis').iterdir())) == 3
    saved = json.loads((tmp_path / 'preds/train_000.json').read_text())
    assert saved['scores'] == results['predictions'][0]['scores']


def test_the_demos_colors_suit_mmdets_visualizer(images, tmp_path):
    inferencer = DetInferencer(
        load_config('picodet_anchorformer-demo_1xb8-6e_demo-160'), device='cpu', show_progress=False
    )
    inferencer(images[0], out_dir=str(tmp_path), pred_score_thr=0)
    assert len(list((tmp_path / 'vis').iterdir())) == 1


def predict_views(project, images, path):
    """What ``DetTTAModel`` makes of the views of a config."""
    cfg = load_config(path)
    model = init_detector(*project, device='cpu')
    model = MODELS.build(dict(cfg.tta_model, module=model)).eval()
    pipeline = Compose(cfg.tta_pipeline)
    data = pseudo_collate(
        [pipeline(dict(img_path=each, img_id=0, instances=[])) for each in images]
    )
    with torch.no_grad():
        return [each.pred_instances for each in model.test_step(data)]


def detect(project, images, side):
    """What the detector finds in images, resized bilinearly as the views."""
    pipeline = Compose(
        [
            dict(type='LoadImageFromNDArray'),
            dict(type='Resize', scale=(side, side), keep_ratio=False),
            dict(type='PackDetInputs'),
        ]
    )
    model = init_detector(*project, device='cpu')
    samples = inference_detector(model, images, pipeline)
    return [each.pred_instances for each in samples]


def test_views_alike_change_nothing(project, images, tiny, backbone, tmp_path):
    write_views(tmp_path / 'v.py', tiny, backbone, (96, 96), (0.0,))
    found = predict_views(project, images, tmp_path / 'v.py')
    images = [mmcv.imread(path) for path in images]
    for one, other in zip(found, detect(project, images, 96), strict=True):
        assert len(one) == len(other) > 10
        torch.testing.assert_close(one.scores, other.scores)
        torch.testing.assert_close(one.bboxes, other.bboxes)


def test_mirrored_views_are_mirrored_back(project, images, tiny, backbone, tmp_path):
    write_views(tmp_path / 'v.py', tiny, backbone, (64,), (1.0,))
    (found,) = predict_views(project, images[:1], tmp_path / 'v.py')
    mirrored = mmcv.imflip(mmcv.imread(images[0]))
    (expected,) = detect(project, [mirrored], 64)
    left, top, right, bottom = expected.bboxes.unbind(1)
    boxes = torch.stack((32 - right, top, 32 - left, bottom), dim=1)
    torch.testing.assert_close(found.scores, expected.scores)
    torch.testing.assert_close(found.bboxes, boxes, rtol=0, atol=1e-3)


def test_the_command_averages_views(project, tiny, backbone, tmp_path, capsys):
    write_views(tmp_path / 'v.py', tiny, backbone, (64, 96), (0.0, 1.0))
    out = tmp_path / 'views.bbox.json'
    assert (
        main(
            [
                'test',
                str(tmp_path / 'v.py'),
                project[1],
                '--tta',
                '--out',
                str(out),
                '--work-dir',
                str(tmp_path / 'work'),
            ]
        )
        == 0
    )
    assert 'coco/bbox_mAP_50' in capsys.readouterr().out
    results = json.loads(out.read_text())
    counts = np.bincount([one['image_id'] for one in results])
    assert (counts[1:7] > 10).all() and (counts[1:7] <= 100).all()
