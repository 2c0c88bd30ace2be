# COCO 2017 of any size: the splits, the loaders and the score. A config adds
# the pipelines, in which the image size is.
dataset_type = 'mmanchor.CocoDataset'
data_root = 'data/coco/'
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        # Images without boxes are left out, as in mmdet and PaddleDetection.
        filter_cfg=dict(filter_empty_gt=True),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
# Every score, also AP50 and those by box size, is over at most 100 boxes per
# image, as COCO defines it; mmdet's default takes 1000 for some.
val_evaluator = dict(
    type='CocoMetric',
    ann_file=data_root + 'annotations/instances_val2017.json',
    metric='bbox',
    proposal_nums=(100, 1, 10),
    format_only=False,
)
test_evaluator = val_evaluator
