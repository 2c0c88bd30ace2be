# Ablation, not in the paper: each head has its own anchors.
_base_ = ['./anchorformer-t_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(attention=dict(per_head_anchors=True)))
