"""Detectors of mmdet's zoo train a step and predict without compiled mmcv."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.registry import init_default_scope

CLASSES = 3


def shrink(node) -> None:
    """Make every layer of a configuration narrow, and its classes three."""
    for key, value in list(node.items()) if isinstance(node, dict) else enumerate(node):
        if key == 'num_classes':
            node[key] = CLASSES
        elif value in (256, 1024, 2048) and key != 'num_points':
            node[key] = 32
        elif isinstance(value, dict | list):
            shrink(value)


def tiny(name: str) -> ConfigDict:
    """A configuration of mmdet with a narrow ResNet, without its weights."""
    init_default_scope('mmdet')
    model = get_config(f'mmdet::{name}').model
    shrink(model)
    model.backbone.update(depth=50, base_channels=4, init_cfg=None)
    model.backbone.pop('pretrained', None)
    indices = model.backbone.get('out_indices', (0, 1, 2, 3))
    model.neck.in_channels = [16 * 2**index for index in indices]
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
    with torch.no_grad():
        results = detector.test_step(batch)
    assert len(results) == 2
    for result in results:
        assert result.pred_instances.bboxes.shape[1] == 4
    return {name: value.item() for name, value in shown.items()}


@pytest.mark.smoke
def test_faster_rcnn():
    losses = run(tiny('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'))
    assert {'loss_rpn_bbox', 'loss_cls', 'loss_bbox'} <= losses.keys()


def test_mask_rcnn():
    losses = run(tiny('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'))
    assert losses['loss_mask'] > 0
