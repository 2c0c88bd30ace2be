"""Detectors of mmdet's zoo train a step and predict without compiled mmcv."""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.registry import init_default_scope

CLASSES = 3


def shrink(node, narrow: bool) -> None:
    """Give a configuration three classes, and narrow layers if wanted."""
    for key, value in list(node.items()) if isinstance(node, dict) else enumerate(node):
        if key == 'num_classes':
            node[key] = CLASSES
        elif key in ('num_queries', 'max_per_img'):
            node[key] = 32
        elif narrow and value in (256, 1024, 2048) and key != 'num_points':
            node[key] = 64  # two channels for each of 32 groups
        elif isinstance(value, dict | list):
            shrink(value, narrow)


def tiny(name: str) -> ConfigDict:
    """A configuration of mmdet with a narrow ResNet, without its weights."""
    init_default_scope('mmdet')
    model = get_config(f'mmdet::{name}').model
    # The widths of a DETR's parts depend on each other: it gets few layers.
    shrink(model, narrow='decoder' not in model)
    if 'decoder' in model:
        model.encoder.num_layers, model.decoder.num_layers = 1, 2
    model.backbone.update(depth=50, base_channels=4, init_cfg=None)
    model.backbone.pop('pretrained', None)
    indices = model.backbone.get('out_indices', (0, 1, 2, 3))
    necks = model.neck if isinstance(model.neck, list) else [model.neck]
    necks[0].in_channels = [16 * 2**index for index in indices]
    return model


def run(model: ConfigDict) -> dict[str, float]:
    """One step of training and a prediction; returns the losses."""
    torch.manual_seed(0)
    detector = MODELS.build(model)
    batch = demo_mm_inputs(2, [[3, 64, 64], [3, 64, 48]], num_classes=CLASSES, with_mask=True)
    data = detector.data_preprocessor(batch, True)
    losses = detector(**data, mode='loss')
    total, shown = detector.parse_losses(losses)
    total.backward()
    gradients = [p.grad for p in detector.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    moved = [n for n, p in detector.named_parameters() if p.grad is not None and p.grad.any()]
    assert any(name.startswith('backbone') for name in moved)
    detector.eval()
    for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
        # One image at a time: masked convolutions take no more.
        with torch.no_grad():
            (result,) = detector.test_step(dict(inputs=[image], data_samples=[sample]))
        assert result.pred_instances.bboxes.shape[1] == 4
    return {name: value.item() for name, value in shown.items()}


def test_faster_rcnn():
    losses = run(tiny('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'))
    assert {'loss_rpn_bbox', 'loss_cls', 'loss_bbox'} <= losses.keys()


def test_mask_rcnn():
    losses = run(tiny('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'))
    assert losses['loss_mask'] > 0


@pytest.mark.parametrize(
    ('name', 'loss'),
    [
        ('cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py', 's2.loss_bbox'),
        ('dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py', 'loss_bbox'),
        ('dcnv2/faster-rcnn_r50-mdconv-group4-c3-c5_fpn_1x_coco.py', 'loss_bbox'),
        ('deformable_detr/deformable-detr_r50_16xb2-50e_coco.py', 'loss_iou'),
        ('dino/dino-4scale_r50_8xb2-12e_coco.py', 'dn_loss_iou'),
        ('point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py', 'loss_point'),
    ],
)
def test_detector_families(name, loss):
    assert run(tiny(name))[loss] >= 0


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    [
        'carafe/faster-rcnn_r50_fpn-carafe_1x_coco.py',
        'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
        'ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py',
        'cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco.py',
        'dcn/faster-rcnn_r50_fpn_dpool_1x_coco.py',
        'dyhead/atss_r50_fpn_dyhead_1x_coco.py',
        'foveabox/fovea_r50_fpn_gn-head-align_4xb4-2x_coco.py',
        'guided_anchoring/ga-faster-rcnn_r50-caffe_fpn_1x_coco.py',
        'guided_anchoring/ga-retinanet_r50-caffe_fpn_1x_coco.py',
        'htc/htc-without-semantic_r50_fpn_1x_coco.py',
        'libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco.py',
        'ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco.py',
        'reppoints/reppoints-moment_r50_fpn-gn_head-gn_1x_coco.py',
        'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py',
        'vfnet/vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco.py',
    ],
)
def test_other_detectors_with_such_operators(name):
    assert math.isfinite(run(tiny(name))['loss'])
