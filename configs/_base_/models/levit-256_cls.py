# LeViT-256, which learns from labels and from LeViT's teacher. AnchorLeViT
# takes softmax attention or anchor attention.
model = dict(
    type='mmanchor.DistilledClassifier',
    backbone=dict(
        type='mmanchor.AnchorLeViT',
        arch='256',
        attention='softmax',
        img_size=224,
        out_type='avg_featmap',
    ),
    head=dict(
        type='mmanchor.DistilledLeViTHead',
        num_classes=1000,
        in_channels=512,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
    # Any classifier with the same classes and the same normalization of images;
    # a checkpoint of your own is given as model.teacher_checkpoint.
    teacher=dict(type='TimmClassifier', model_name='regnety_160.deit_in1k', pretrained=True),
    distillation='hard',
    distillation_weight=0.5,
    # Each batch gets one of the two.
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
