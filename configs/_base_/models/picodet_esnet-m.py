# PicoDet-M: ESNet at 1.0 of its width, more convolutions in the head.
_base_ = ['./picodet_esnet-s.py']
model = dict(
    backbone=dict(
        scale=1.0,
        ratios=(0.875, 0.5, 1.0, 0.625, 0.5, 0.75, 0.625, 0.625, 0.5, 0.625, 1.0, 0.625, 0.75),
    ),
    neck=dict(in_channels=(128, 256, 512), out_channels=128),
    bbox_head=dict(in_channels=128, feat_channels=128, stacked_convs=4),
)
