# SegFormer's head of mmseg over a pyramid made from four layers of
# AnchorFormer-S.
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(
        type='mmanchor.AnchorFormer',
        arch='small',
        img_size=512,
        drop_path_rate=0.1,
        out_indices=(3, 5, 7, 11),
    ),
    neck=dict(
        type='mmanchor.SimpleFeaturePyramid',
        in_channels=384,
        out_channels=(96, 192, 384, 384),
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(
        type='SegformerHead',
        in_channels=[96, 192, 384, 384],
        in_index=[0, 1, 2, 3],
        channels=256,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
