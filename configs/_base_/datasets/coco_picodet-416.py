# COCO 2017 as PicoDet is trained and tested on it: a random crop, a flip and a
# colour distortion, then squares without keeping the ratio. What differs from
# PaddleDetection is in configs/picodet/README.md.
dataset_type = 'mmanchor.CocoDataset'
data_root = 'data/coco/'
img_scale = (416, 416)
# One size a batch; model.data_preprocessor of each config takes this.
batch_augments = [dict(type='mmanchor.RandomSquareSize', sizes=(352, 384, 416, 448, 480))]
augment = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='mmanchor.RandomObjectCrop'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
]
train_pipeline = [
    *augment,
    dict(type='Resize', scale=img_scale, keep_ratio=False, interpolation='bicubic'),
    # Boxes that resizing shrinks to nothing; pictures without boxes are kept.
    dict(type='FilterAnnotations', min_gt_bbox_wh=(0, 0), keep_empty=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=img_scale, keep_ratio=False, interpolation='bicubic'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(side, side), keep_ratio=False, interpolation='bicubic')
                for side in (352, 416, 480)
            ],
            [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)],
            [dict(type='LoadAnnotations', with_bbox=True)],
            [dict(type='PackDetInputs')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=80,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        # PaddleDetection leaves out pictures without boxes (allow_empty:
        # false); the head learns from them too where a config keeps them.
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
# Every score, AP50 and those by size too, over at most 100 boxes a picture, as
# COCO has it; mmdet's default takes 1000 for some.
val_evaluator = dict(
    type='CocoMetric',
    ann_file=data_root + 'annotations/instances_val2017.json',
    metric='bbox',
    proposal_nums=(100, 1, 10),
    format_only=False,
)
test_evaluator = val_evaluator
