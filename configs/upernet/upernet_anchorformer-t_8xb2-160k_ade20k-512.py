# UperNet with AnchorFormer-T on ADE20K; the paper has only size S.
_base_ = ['./upernet_anchorformer-s_8xb2-160k_ade20k-512.py']
model = dict(
    backbone=dict(arch='tiny', drop_path_rate=0.1),
    neck=dict(in_channels=192, out_channels=(48, 96, 192, 192)),
    decode_head=dict(in_channels=[48, 96, 192, 192]),
    auxiliary_head=dict(in_channels=192),
)
