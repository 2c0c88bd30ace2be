# Images without labels: every image below data_root, in any folders, such as
# ImageNet's. A config sets image size and augmentation.
dataset_type = 'CustomDataset'
data_root = 'data/imagenet/train'
data_preprocessor = dict(
    type='SelfSupDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
train_dataloader = dict(
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type=dataset_type, data_root=data_root, with_label=False),
)
