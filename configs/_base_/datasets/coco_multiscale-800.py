# COCO 2017 as mmdet trains transformers on it: the shorter side is 480 to 800
# pixels long in training and 800 in tests, the longer one at most 1333.
_base_ = ['./coco_detection.py']
load = dict(type='LoadImageFromFile')
load_boxes = dict(type='LoadAnnotations', with_bbox=True)
augment = [
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, short) for short in range(480, 801, 32)],
        keep_ratio=True,
    ),
    dict(type='PackDetInputs'),
]
resize = dict(type='Resize', scale=(1333, 800), keep_ratio=True)
pack = dict(
    type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
)
train_pipeline = [load, load_boxes, *augment]
test_pipeline = [load, resize, load_boxes, pack]
train_dataloader = dict(
    # Images of a batch are padded to one size: upright ones stay together.
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
