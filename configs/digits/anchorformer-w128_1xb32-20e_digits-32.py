# As anchorformer-w64, with 128 channels.
_base_ = ['./anchorformer-w64_1xb32-20e_digits-32.py']
model = dict(
    backbone=dict(arch=dict(embed_dims=128, num_layers=3, num_heads=4, mlp_ratio=2)),
    head=dict(in_channels=128),
)
