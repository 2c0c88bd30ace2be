# Semantic-FPN with AnchorFormer-T on ADE20K; the paper has only size S.
_base_ = ['./fpn_anchorformer-s_8xb2-80k_ade20k-512.py']
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(arch='tiny', drop_path_rate=0.1),
    neck=[
        dict(
            type='mmanchor.SimpleFeaturePyramid',
            in_channels=192,
            out_channels=(64, 128, 192, 192),
            norm_cfg=norm_cfg),
        dict(
            type='FPN',
            in_channels=[64, 128, 192, 192],
            out_channels=128,
            num_outs=4),
    ])
