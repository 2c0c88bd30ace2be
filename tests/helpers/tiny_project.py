"""Data sets and configs so small that a command runs in a second."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ('ground', 'red', 'green', 'blue')
THINGS = ('red', 'green', 'blue')
COLORS = tuple(sorted(THINGS))  # as mmpretrain numbers folders
SIZE = 32
PICODET_BASE = (
    Path(__file__).parents[2].joinpath('configs/picodet/picodet_esnet-s_4xb80-300e_coco-320.py')
)
CLASSIFIER_BASE = (
    Path(__file__)
    .parents[2]
    .joinpath('configs/anchorformer/anchorformer-t_8xb128-300e_in1k-224.py')
)

SEGMENTATION = """
default_scope = 'mmseg'
randomness = dict(seed=3)
data = dict(
    type='BaseSegDataset',
    data_root={root!r},
    metainfo=dict(classes={classes!r}),
    reduce_zero_label=True)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
train_pipeline = load + [
    dict(type='RandomResize', scale=(32, 32), ratio_range=(0.5, 2.0)),
    dict(type='RandomCrop', crop_size=(32, 32)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs')]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(32, 32), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='RandomFlip', prob=0.), dict(type='RandomFlip', prob=1.)],
        [dict(type='LoadAnnotations')],
        [dict(type='PackSegInputs')]])]
tta_model = dict(type='SegTTAModel')
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        data_prefix=dict(
            img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline,
        **data))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        data_prefix=dict(
            img_path='images/validation',
            seg_map_path='annotations/validation'),
        pipeline=test_pipeline,
        **data))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.5] * 3,
        std=[127.5] * 3,
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(32, 32),
        test_cfg=dict(size_divisor=32)),
    backbone=dict(
        type='MixVisionTransformer',
        embed_dims=8,
        num_stages=2,
        num_layers=[1, 2],
        num_heads=[1, 2],
        patch_sizes=[7, 3],
        strides=[4, 2],
        sr_ratios=[4, 2],
        out_indices=(0, 1),
        drop_path_rate=0.3),
    decode_head=dict(
        type='SegformerHead',
        in_channels=[8, 16],
        in_index=[0, 1],
        channels=8,
        dropout_ratio=0.3,
        num_classes=4,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01))
param_scheduler = [
    dict(type='PolyLR', power=0.9, begin=0, end=8, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
    visualization=dict(type='SegVisualizationHook'))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends)
log_processor = dict(by_epoch=False)
"""

DETECTION = """
default_scope = 'mmdet'
randomness = dict(seed=3)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(32, 32), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs')]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')]
data = dict(
    type='CocoDataset',
    data_root={root!r},
    metainfo=dict(classes={things!r}),
    ann_file='annotations/instances_train.json',
    data_prefix=dict(img='images/training'))
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(pipeline=train_pipeline, **data))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_mode=True, pipeline=test_pipeline, **data))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric',
    ann_file={root!r} + '/annotations/instances_train.json',
    metric='bbox')
test_evaluator = val_evaluator
model = dict(
    type='RTMDet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[127.5] * 3,
        std=[127.5] * 3,
        bgr_to_rgb=False,
        batch_augments=None),
    backbone=dict(
        type='CSPNeXt',
        deepen_factor=0.1,
        widen_factor=0.0625,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU')),
    neck=dict(
        type='CSPNeXtPAFPN',
        in_channels=[16, 32, 64],
        out_channels=8,
        num_csp_blocks=1,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU')),
    bbox_head=dict(
        type='RTMDetSepBNHead',
        num_classes=3,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        share_conv=True,
        anchor_generator=dict(
            type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(
            type='QualityFocalLoss',
            use_sigmoid=True,
            beta=2.0,
            loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        with_objectness=False,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU')),
    train_cfg=dict(
        assigner=dict(type='DynamicSoftLabelAssigner', topk=13),
        allowed_border=-1,
        pos_weight=-1),
    test_cfg=dict(
        nms_pre=100,
        min_bbox_size=0,
        score_thr=0.001,
        nms=dict(type='nms', iou_threshold=0.65),
        max_per_img=20))
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=1),
    visualization=dict(type='DetVisualizationHook'))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(
    type='DetLocalVisualizer', name='visualizer', vis_backends=vis_backends)
"""

# The recipe as it is, with a small model on small data.
PICODET = """
_base_ = [{picodet!r}]
randomness = dict(seed=3)
model = dict(
    data_preprocessor=dict(batch_augments=[
        dict(type='mmanchor.RandomSquareSize', sizes=(64, 96, 128))]),
    backbone=dict(scale=0.25),
    neck=dict(in_channels=(32, 64, 128), out_channels=16),
    bbox_head=dict(
        num_classes=3, in_channels=16, feat_channels=16, stacked_convs=1),
    # A model hardly trained is sure of nothing.
    test_cfg=dict(score_thr=0.001))
data = dict(
    data_root={root!r},
    metainfo=dict(classes={things!r}),
    ann_file='annotations/instances_train.json',
    data_prefix=dict(img='images/training'))
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=data)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file={root!r} + '/annotations/instances_train.json')
test_evaluator = val_evaluator
custom_hooks = _base_.custom_hooks
custom_hooks[-1].restart_interval = 1
train_cfg = dict(max_epochs=2, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=1))
"""

# The recipe as it is, with a small model on small data.
CLASSIFICATION = """
_base_ = [{classifier!r}]
randomness = dict(seed=3)
model = dict(
    backbone=dict(arch=dict(
        _delete_=True, embed_dims=16, num_layers=2, num_heads=2, mlp_ratio=2)),
    head=dict(num_classes=3, in_channels=16))
data_preprocessor = dict(num_classes=3)
data = dict(data_root={root!r}, metainfo=dict(classes={colors!r}))
loader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=data)
train_dataloader = loader
val_dataloader = loader
test_dataloader = loader
val_evaluator = dict(topk=(1, ))
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=2, val_interval=1)
"""


def make_folders(root: Path, per_class: int = 4) -> Path:
    """Write pictures of one color each, a folder per class.

    Args:
        root: Folder to make, with ``train`` and ``val`` in it.
        per_class: Pictures of each of :data:`COLORS` in each of them.

    Returns:
        ``root``.
    """
    rng = np.random.default_rng(5)
    for split in ('train', 'val'):
        for kind, name in enumerate(THINGS):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(per_class):
                image = rng.integers(20, 90, (SIZE, SIZE + 8, 3))
                image[..., kind] += 140
                Image.fromarray(image.astype(np.uint8)).save(folder / f'{index}.JPEG')
    return root


def make_data(root: Path, num_train: int = 6, num_val: int = 2) -> Path:
    """Write squares on gray in ADE20K's and COCO's layouts.

    Args:
        root: Folder to make; paths are ADE20K's, and COCO's file is
            ``annotations/instances_train.json``.
        num_train: Pictures for training, and in COCO's file.
        num_val: Pictures for validation.

    Returns:
        ``root``.
    """
    rng = np.random.default_rng(5)
    coco = dict(
        images=[], annotations=[], categories=[dict(id=i + 1, name=c) for i, c in enumerate(THINGS)]
    )
    for split, number in (('training', num_train), ('validation', num_val)):
        for index in range(number):
            name = f'{split[:5]}_{index:03d}'
            image = rng.integers(90, 130, (SIZE, SIZE, 3)).astype(np.uint8)
            mask = np.ones((SIZE, SIZE), np.uint8)
            kind, (y, x) = index % 3, rng.integers(2, SIZE // 2, 2)
            image[y : y + 14, x : x + 14, kind] += 110
            mask[y : y + 14, x : x + 14] = kind + 2
            mask[:2] = 0
            for folder, array, suffix in (('images', image, 'jpg'), ('annotations', mask, 'png')):
                path = root / folder / split / f'{name}.{suffix}'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
            if split == 'training':
                _add_to_coco(coco, f'{name}.jpg', kind, int(x), int(y))
    path = root / 'annotations' / 'instances_train.json'
    path.write_text(json.dumps(coco))
    return root


def _add_to_coco(coco: dict, name: str, kind: int, x: int, y: int) -> None:
    index = len(coco['images']) + 1
    coco['images'].append(dict(id=index, file_name=name, width=SIZE, height=SIZE))
    coco['annotations'].append(
        dict(
            id=index,
            image_id=index,
            category_id=kind + 1,
            bbox=[x, y, 14, 14],
            segmentation=[[x, y, x + 14, y, x + 14, y + 14, x, y + 14]],
            area=196,
            iscrowd=0,
        )
    )


def write_config(folder: Path, text: str, data_root: Path, name: str = 'tiny') -> Path:
    """Write one of the configs above for the data in ``data_root``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{name}.py'
    path.write_text(
        text.format(
            root=str(data_root),
            classes=CLASSES,
            things=THINGS,
            colors=COLORS,
            picodet=str(PICODET_BASE),
            classifier=str(CLASSIFIER_BASE),
        )
        if '{root' in text
        else text
    )
    return path
