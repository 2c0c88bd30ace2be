"""Detectors and segmentors of others on AnchorFormer train and predict."""

import pytest
import tiny_project
import torch
from config_files import ROOT
from mmdet.apis import inference_detector
from mmengine.config import ConfigDict
from mmseg.apis import inference_model

from mmanchor.apis import test_model as run_test
from mmanchor.apis import train_model
from mmanchor.utils.config import load_config

pytestmark = pytest.mark.usefixtures('plain_configs')
TINY = dict(_delete_=True, embed_dims=16, num_layers=12, num_heads=2, mlp_ratio=2)
WIDTHS = {192: 8, 384: 16, 96: 8, 256: 16, 1024: 16}
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def narrow(node):
    """The same with widths of a few channels."""
    if isinstance(node, dict):
        return ConfigDict((key, narrow(value)) for key, value in node.items())
    if isinstance(node, list | tuple):
        return type(node)(narrow(each) for each in node)
    return WIDTHS.get(node, node) if isinstance(node, int) else node


def tiny_config(name, data, work_dir):
    """The config with a narrow model, for one iteration on tiny data."""
    (path,) = ROOT.glob(name)
    options = {
        'model.backbone.arch': TINY,
        'model.backbone.img_size': 32,
        'train_dataloader.batch_size': 2,
        'train_cfg': dict(_delete_=True, type='IterBasedTrainLoop', max_iters=1),
        'val_cfg': None,
        'val_dataloader': None,
        'val_evaluator': None,
        'log_level': 'ERROR',
    }
    cfg = load_config(path, options, work_dir, data_root=data)
    arch = cfg.model.backbone.arch
    cfg.model = narrow(cfg.model)
    cfg.model.backbone.arch = arch
    for loader in LOADERS:
        if cfg.get(loader):
            cfg[loader].update(num_workers=0, persistent_workers=False)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=1)
    return cfg


def tiny_detector(name, data, work_dir):
    cfg = tiny_config(name, data, work_dir)
    ann_file = 'annotations/instances_train.json'
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.update(
            ann_file=ann_file,
            data_prefix=dict(img='images/training'),
            metainfo=dict(classes=tiny_project.THINGS),
        )
        for step in loader.dataset.pipeline:
            if step.type == 'RandomChoiceResize':
                step.scales = [(64, 48), (64, 64)]
            elif step.type == 'Resize':
                step.scale = (64, 64)
    cfg.test_evaluator.ann_file = f'{data}/{ann_file}'
    return cfg


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return tiny_project.make_data(tmp_path_factory.mktemp('data'), num_train=2, num_val=1)


@pytest.mark.parametrize(
    ('name', 'head', 'losses'),
    [
        ('retinanet/*.py', 'bbox_head', {'loss_cls', 'loss_bbox'}),
        ('mask_rcnn/*.py', 'roi_head', {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_mask'}),
    ],
)
def test_a_detector_trains_an_iteration_and_is_scored(name, head, losses, data, tmp_path):
    cfg = tiny_detector(name, data, tmp_path)
    if head == 'bbox_head':
        cfg.model.bbox_head.num_classes = 3
    else:
        cfg.model.roi_head.bbox_head.num_classes = cfg.model.roi_head.mask_head.num_classes = 3
        cfg.model.neck[0].norm_cfg.num_groups = 2
    runner = train_model(cfg)
    assert losses <= {key.removeprefix('train/') for key in runner.message_hub.log_scalars}
    test_cfg = tiny_detector(name, data, tmp_path)
    test_cfg.model = cfg.model
    metrics = run_test(test_cfg, tmp_path / 'iter_1.pth')
    assert 'coco/bbox_mAP' in metrics or not metrics  # untrained: maybe no box
    image = torch.randint(255, (40, 56, 3)).byte().numpy()
    model = runner.model.eval()
    model.cfg = cfg
    result = inference_detector(model, image)
    assert result.pred_instances.bboxes.shape[1] == 4
    assert ('masks' in result.pred_instances) == (head == 'roi_head')


def test_segformers_head_trains_an_iteration_and_predicts(data, tmp_path):
    cfg = tiny_config('segformer/*.py', data, tmp_path)
    cfg.model.data_preprocessor.size = (32, 32)
    for step in cfg.train_dataloader.dataset.pipeline:
        if step.type == 'RandomCrop':
            step.crop_size = (32, 32)
        elif step.type == 'RandomResize':
            step.scale = (64, 32)
    runner = train_model(cfg)
    assert 'train/decode.loss_ce' in runner.message_hub.log_scalars
    model = runner.model.eval()
    model.cfg = cfg
    result = inference_model(model, torch.randint(255, (40, 56, 3)).byte().numpy())
    assert result.pred_sem_seg.data.shape == (1, 40, 56)
