# AnchorFormer, Table 1, row AnchorFormer-T; Table 5, tiny, M = 30.
_base_ = ['./anchorformer-s_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(arch='tiny'), head=dict(in_channels=192))
