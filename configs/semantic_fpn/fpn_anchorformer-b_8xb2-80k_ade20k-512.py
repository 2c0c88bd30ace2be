# Semantic-FPN with AnchorFormer-B on ADE20K; the paper has only size S.
_base_ = ['./fpn_anchorformer-s_8xb2-80k_ade20k-512.py']
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(arch='base', drop_path_rate=0.2),
    neck=[
        dict(
            type='mmanchor.SimpleFeaturePyramid',
            in_channels=768,
            out_channels=(64, 128, 768, 768),
            norm_cfg=norm_cfg),
        dict(
            type='FPN',
            in_channels=[64, 128, 768, 768],
            out_channels=128,
            num_outs=4),
    ])
