# The COCO recipe, small enough to train in minutes on two CPU cores, on the
# scenes of `mmanchor make-demo-data`. Only data, sizes and schedule differ.
_base_ = ['../picodet/picodet_anchorformer-t_4xb80-300e_coco-320.py']

data_root = 'data/demo/coco/'
metainfo = dict(
    classes=('disc', 'star', 'spiral', 'rectangle', 'zigzag', 'cross', 'ring', 'triangle'),
    # Tuples: mmdet's visualizer does not take lists.
    palette=[
        (230, 40, 40),
        (255, 190, 0),
        (120, 200, 0),
        (0, 130, 60),
        (0, 200, 200),
        (20, 70, 220),
        (150, 60, 220),
        (255, 90, 190),
    ],
)
# Number of scenes that `mmanchor demo` draws.
num_train = 3000
num_val = 150
image_size = 160
max_epochs = 6

model = dict(
    # No random size: the scenes vary enough for so short a training.
    data_preprocessor=dict(batch_augments=None),
    backbone=dict(scale=0.5),
    neck=dict(in_channels=(64, 128, 256), out_channels=64),
    bbox_head=dict(num_classes=8, in_channels=64, feat_channels=64),
)

resize = {**_base_.resize, 'scale': (image_size, image_size)}
train_pipeline = [
    _base_.load,
    _base_.load_boxes,
    dict(type='RandomFlip', prob=0.5),
    resize,
    dict(type='PackDetInputs'),
]
test_pipeline = [_base_.load, resize, *_base_.load_boxes_and_pack]
tta_pipeline = [_base_.load, dict(type='TestTimeAug', transforms=[[resize], *_base_.flip_and_pack])]
loading = dict(num_workers=0, persistent_workers=False)
# Scenes without objects are kept, as the validation split has some too.
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
    ),
    **loading,
)
val_dataloader = dict(
    batch_size=16,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline),
    **loading,
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=0.07))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs,
        eta_min=0.0,
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=max_epochs,
    ),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=1, max_keep_ckpts=2))
# A moving average over fewer iterations: decay 0.998, no restart.
custom_hooks = [
    dict(
        type='mmanchor.RestartedEMAHook',
        restart_interval=max_epochs,
        ema_type='MomentumAnnealingEMA',
        momentum=0.002,
        gamma=9,
        update_buffers=True,
        priority=49,
    )
]
auto_scale_lr = dict(base_batch_size=8)
randomness = dict(seed=0)
