# As size S, with a backbone of 768 channels.
_base_ = ['./fpn_anchorformer-s.py']
model = dict(
    backbone=dict(arch='base', drop_path_rate=0.2),
    neck=[
        dict(
            type='mmanchor.SimpleFeaturePyramid',
            in_channels=768,
            out_channels=(64, 128, 768, 768),
            norm_cfg=dict(type='BN', requires_grad=True),
        ),
        dict(type='FPN', in_channels=[64, 128, 768, 768], out_channels=128, num_outs=4),
    ],
)
