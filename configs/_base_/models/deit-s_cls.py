# DeiT-S with a class token, and the batch augmentation of its recipe.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmanchor.AnchorFormer',
        arch='small',
        img_size=224,
        attention=dict(type='mmanchor.SoftmaxAttention', qkv_bias=True),
        extra_tokens=('cls',),
        out_type='tokens',
        drop_path_rate=0.1,
    ),
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=1000,
        in_channels=384,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
    # Each batch gets one of the two.
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
