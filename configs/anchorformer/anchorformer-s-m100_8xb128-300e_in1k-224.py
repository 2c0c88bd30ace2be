# Ablation, Table 5, small, M = 100.
_base_ = ['./anchorformer-s_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(num_anchors=100))
