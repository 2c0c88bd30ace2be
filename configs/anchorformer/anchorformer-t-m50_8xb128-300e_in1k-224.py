# Ablation, Table 5, tiny, M = 50.
_base_ = ['./anchorformer-t_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(num_anchors=50))
