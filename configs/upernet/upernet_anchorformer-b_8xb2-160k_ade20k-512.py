# UperNet with AnchorFormer-B on ADE20K; the paper has only size S.
_base_ = ['./upernet_anchorformer-s_8xb2-160k_ade20k-512.py']
model = dict(
    backbone=dict(arch='base', drop_path_rate=0.2),
    neck=dict(in_channels=768, out_channels=(192, 384, 768, 768)),
    decode_head=dict(in_channels=[192, 384, 768, 768]),
    auxiliary_head=dict(in_channels=768),
)
