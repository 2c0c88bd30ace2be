# As size S, with a backbone of 192 channels.
_base_ = ['./fpn_anchorformer-s.py']
model = dict(
    backbone=dict(arch='tiny', drop_path_rate=0.1),
    neck=[
        dict(
            type='mmanchor.SimpleFeaturePyramid',
            in_channels=192,
            out_channels=(64, 128, 192, 192),
            norm_cfg=dict(type='BN', requires_grad=True),
        ),
        dict(type='FPN', in_channels=[64, 128, 192, 192], out_channels=128, num_outs=4),
    ],
)
