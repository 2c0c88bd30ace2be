# Semantic FPN with AnchorFormer-T on your own images and masks. Copy this file
# wherever you like, edit the settings below, and run:
#     mmanchor check-data my_segmentor.py
#     mmanchor train my_segmentor.py
_base_ = ['mmanchor::semantic_fpn/fpn_anchorformer-t_8xb2-80k_ade20k-512.py']

# Settings: everything that you need to edit.
data_root = 'data/custom_segmentation'  # folder that holds the folders below
train_images = 'images/train'
train_masks = 'masks/train'  # masks are named like their images
val_images = 'images/val'
val_masks = 'masks/val'
image_suffix = '.jpg'
mask_suffix = '.png'  # one channel; a pixel's value is the index of its class
classes = ('background', 'road', 'car')  # the class of the values 0, 1, 2, ...; 255 is ignored
image_size = 256  # length of the shorter side, and of the square crops to train on
batch_size = 8
max_iters = 2000
load_from = None  # checkpoint to start from; layers of other classes start at random
lr = 5e-4  # for a start from random weights; with load_from use less, such as 1e-4

crop_size = (image_size, image_size)
scale = (4 * image_size, image_size)  # at most 4 times as long as high
model = dict(
    data_preprocessor=dict(size=crop_size),
    # The position embedding is made for the crops; other sizes resize it.
    backbone=dict(img_size=image_size),
    decode_head=dict(num_classes=len(classes)),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    # No class may fill more than three quarters of a crop, if that can be had.
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    # After resizing, so that scores are taken at the size of the mask.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=scale, keep_ratio=True)],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]

# Three loaders: training, validation, and a test on the validation images.
dataset = dict(
    type='BaseSegDataset',  # not ADE20KDataset, which knows only its own classes
    data_root=data_root,
    metainfo=dict(classes=classes),
    img_suffix=image_suffix,
    seg_map_suffix=mask_suffix,
    reduce_zero_label=False,  # 0 is a class
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,  # 0 also needs persistent_workers=False
    dataset=dict(
        data_prefix=dict(img_path=train_images, seg_map_path=train_masks),
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        data_prefix=dict(img_path=val_images, seg_map_path=val_masks),
        pipeline=test_pipeline,
        **dataset,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(iou_metrics=['mIoU', 'mDice'])
test_evaluator = val_evaluator

# AdamW: a short warm-up, then a polynomial down to 0.
warm_up = max(1, max_iters // 20)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=warm_up),
    dict(type='PolyLR', eta_min=0.0, power=0.9, by_epoch=False, begin=warm_up, end=max_iters),
]
auto_scale_lr = dict(base_batch_size=batch_size)
# Validate and save ten times; the best checkpoint is kept as well.
interval = max(1, max_iters // 10)
train_cfg = dict(max_iters=max_iters, val_interval=interval)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=interval, max_keep_ckpts=2))
