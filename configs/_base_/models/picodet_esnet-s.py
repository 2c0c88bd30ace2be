# PicoDet-S: ESNet at 0.75 of its width, CSP-PAN and head of 96 channels. The
# batch augmentation is set together with the image size.
model = dict(
    type='mmanchor.PicoDet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='mmanchor.ESNet',
        scale=0.75,
        ratios=(0.875, 0.5, 0.5, 0.5, 0.625, 0.5, 0.625, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
        out_indices=(0, 1, 2),
    ),
    neck=dict(type='mmanchor.CSPPAN', in_channels=(96, 192, 384), out_channels=96),
    bbox_head=dict(
        type='mmanchor.PicoDetHead',
        num_classes=80,
        in_channels=96,
        feat_channels=96,
        stacked_convs=2,
    ),
    train_cfg=dict(assigner=dict(type='mmanchor.VarifocalSimOTAAssigner')),
    test_cfg=dict(
        nms_pre=1000,
        score_thr=0.025,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=100,
        min_bbox_size=0,
    ),
)
# Test-time augmentation merges its views by the same NMS.
tta_model = dict(
    type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.6), max_per_img=100)
)
