# The ADE20K recipe, small enough to train in minutes on two CPU cores, on the
# scenes of `mmanchor make-demo-data`. Only data, sizes and schedule differ.
_base_ = ['../upernet/upernet_anchorformer-s_8xb2-160k_ade20k-512.py']

data_root = 'data/demo/ade'
metainfo = dict(
    classes=(
        'sky',
        'ground',
        'disc',
        'star',
        'spiral',
        'rectangle',
        'zigzag',
        'cross',
        'ring',
        'triangle',
    ),
    palette=[
        [135, 190, 235],
        [140, 115, 85],
        [230, 40, 40],
        [255, 190, 0],
        [120, 200, 0],
        [0, 130, 60],
        [0, 200, 200],
        [20, 70, 220],
        [150, 60, 220],
        [255, 90, 190],
    ],
)
# Number of scenes that `mmanchor demo` draws.
num_train = 1500
num_val = 150
crop_size = (128, 128)
max_iters = 1100

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=128, num_layers=6, num_heads=4, mlp_ratio=2),
        img_size=128,
        patch_size=8,
        drop_path_rate=0.0,
        out_indices=(2, 3, 4, 5),
    ),
    # With patches of 8 pixels, other scales give the same strides 4 to 32.
    neck=dict(in_channels=128, out_channels=(32, 64, 128, 128), scales=(2, 1, 0.5, 0.25)),
    decode_head=dict(in_channels=[32, 64, 128, 128], channels=64, num_classes=10),
    auxiliary_head=dict(in_channels=128, channels=64, num_classes=10),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='RandomResize', scale=crop_size, ratio_range=(0.8, 1.3), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
dataset = dict(
    type='BaseSegDataset', data_root=data_root, metainfo=metainfo, reduce_zero_label=True
)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=test_pipeline, **dataset),
)
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay_rate=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=50, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=100, max_keep_ckpts=2))
auto_scale_lr = dict(base_batch_size=8)
randomness = dict(seed=0)
