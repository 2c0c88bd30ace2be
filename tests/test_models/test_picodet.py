"""The whole detector, tested as mmdet tests its own."""

import copy
from itertools import chain

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmdet.testing import demo_mm_inputs
from mmdet.utils import register_all_modules
from mmengine.registry import init_default_scope

from mmanchor.registry import MODELS
from mmanchor.utils.config import load_config

BACKBONES = ('ESNet', 'AnchorESNet')


@pytest.fixture(autouse=True)
def _scope():
    register_all_modules(init_default_scope=False)
    init_default_scope('mmdet')


def config(backbone='ESNet', **head):
    cfg = load_config('picodet_esnet-s_4xb80-300e_coco-320').model
    # Sizes stay as they are: random ones are tested apart.
    cfg.data_preprocessor.batch_augments = None
    cfg.backbone.update(type=f'mmanchor.{backbone}', scale=0.25)
    cfg.neck.update(in_channels=(32, 64, 128), out_channels=16)
    cfg.bbox_head.update(num_classes=4, in_channels=16, feat_channels=16, stacked_convs=1)
    cfg.bbox_head.update(head)
    cfg.test_cfg.score_thr = 1e-4
    return cfg


def build(backbone='ESNet', **head):
    torch.manual_seed(0)
    model = MODELS.build(config(backbone, **head))
    model.init_weights()
    return model


def inputs(model, shapes, num_items, training, **kwargs):
    data = demo_mm_inputs(
        len(shapes), [(3, *shape) for shape in shapes], num_items=num_items, num_classes=4, **kwargs
    )
    return model.data_preprocessor(data, training)


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('box_type', [False, True])
def test_losses_by_their_names(backbone, box_type):
    model = build(backbone)
    data = inputs(model, [(128, 128), (96, 128)], [3, 2], True, use_box_type=box_type)
    losses = model(**data, mode='loss')
    assert losses.keys() == {'loss_cls', 'loss_bbox', 'loss_dfl'}
    assert all(loss.ndim == 0 and loss > 0 for loss in losses.values())


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('num_items', [(3, 0, 2), (0, 0, 0)])
def test_one_iteration_moves_every_parameter(backbone, num_items):
    model = build(backbone).train()
    data = inputs(model, [(96, 96), (64, 100), (33, 1)], num_items, True)
    losses = model(**data, mode='loss')
    loss, _ = model.parse_losses(losses)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    if not any(num_items):
        assert losses['loss_bbox'] == losses['loss_dfl'] == 0
        return
    # Levels without a box have nothing to scale.
    unmoved = [
        name
        for name, parameter in model.named_parameters()
        if not parameter.grad.any() and 'bbox_head.scales' not in name
    ]
    assert not unmoved


@pytest.mark.parametrize('backbone', BACKBONES)
def test_boxes_lie_in_their_images(backbone):
    model = build(backbone).eval()
    shapes = [(100, 75), (64, 64), (1, 1)]
    data = inputs(model, shapes, [1, 1, 1], False)
    # Padded to the next multiple of 32.
    assert data['inputs'].shape == (3, 3, 128, 96)
    with torch.no_grad():
        results = model(**data, mode='predict')
    for sample, (height, width) in zip(results, shapes, strict=True):
        assert isinstance(sample, DetDataSample)
        found = sample.pred_instances
        assert found.bboxes.shape == (len(found), 4) and len(found) <= 100
        assert (found.bboxes >= 0).all()
        assert (found.bboxes[:, ::2] <= width).all()
        assert (found.bboxes[:, 1::2] <= height).all()
        assert (found.scores[:-1] >= found.scores[1:]).all()
        assert ((found.labels >= 0) & (found.labels < 4)).all()
    assert len(results[0].pred_instances)


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('shape', [(32, 32), (96, 160), (416, 32)])
def test_tensors_are_the_heads(backbone, shape):
    model = build(backbone).eval()
    with torch.no_grad():
        scores, boxes = model(torch.rand(2, 3, *shape), mode='tensor')
    sides = [tuple(-(-side // s) for side in shape) for s in (8, 16, 32, 64)]
    assert [tuple(level.shape) for level in scores] == [(2, 4, *s) for s in sides]
    assert [tuple(level.shape) for level in boxes] == [(2, 32, *s) for s in sides]


def test_doubles_are_removed_within_a_class_without_compiled_operators():
    model = build().eval()
    data = inputs(model, [(128, 128)], [1], False)
    with torch.no_grad():
        found = model(**data, mode='predict')[0].pred_instances
        model.bbox_head.test_cfg.nms.iou_threshold = 1.0
        model.bbox_head.test_cfg.max_per_img = 10000
        doubled = model(**data, mode='predict')[0].pred_instances
    assert 1 < len(found) < len(doubled)
    same = found.labels[:, None] == found.labels[None]
    overlaps = bbox_overlaps(found.bboxes, found.bboxes)
    assert (overlaps * same).triu(1).max() <= 0.6
    doubled = doubled.bboxes[doubled.labels == 0]
    assert bbox_overlaps(doubled, doubled).triu(1).max() > 0.6


@pytest.mark.parametrize('height, width', [(1, 1), (1, 999), (75, 100)])
def test_any_picture_goes_through_the_test_pipeline(height, width):
    cfg = load_config('picodet_esnet-s_4xb80-300e_coco-320')
    pipeline = copy.deepcopy(cfg.test_pipeline)
    pipeline[0].type = 'LoadImageFromNDArray'
    image = np.full((height, width, 3), 50, np.uint8)
    data = Compose(pipeline)(dict(img=image, img_id=0))
    assert data['inputs'].shape == (3, 320, 320)
    model = build().eval()
    with torch.no_grad():
        (sample,) = model.test_step({key: [value] for key, value in data.items()})
    boxes = sample.pred_instances.bboxes
    assert len(boxes) and boxes.isfinite().all()
    assert (boxes[:, ::2].max() <= width) and (boxes[:, 1::2].max() <= height)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_a_batch_finds_what_its_images_do(backbone):
    model = build(backbone).eval()
    data = inputs(model, [(96, 64), (96, 64)], [1, 1], False)
    with torch.no_grad():
        both = model(**data, mode='predict')
        for index in range(2):
            (alone,) = model(
                data['inputs'][index : index + 1],
                data['data_samples'][index : index + 1],
                mode='predict',
            )
            torch.testing.assert_close(
                alone.pred_instances.scores, both[index].pred_instances.scores
            )


@pytest.mark.parametrize('backbone', BACKBONES)
def test_building_twice_gives_one_network(backbone):
    first, second = build(backbone), build(backbone)
    names = list(first.state_dict())
    assert names == list(second.state_dict())
    assert not any(
        id(a) == id(b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    for parameter in second.parameters():
        torch.nn.init.normal_(parameter)
    second.load_state_dict(first.state_dict(), strict=True)
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        outputs = [model.eval()(image, mode='tensor') for model in (first, second)]
    for one, other in zip(*(scores + boxes for scores, boxes in outputs), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_it_is_exported(backbone):
    model = build(backbone).eval()
    image = torch.rand(1, 3, 64, 96)
    program = torch.export.export(model, (image,), strict=False)
    with torch.no_grad():
        expected = model(image)
        found = program.module()(image)
    for one, other in zip(chain(*expected), chain(*found), strict=True):
        torch.testing.assert_close(one, other)
