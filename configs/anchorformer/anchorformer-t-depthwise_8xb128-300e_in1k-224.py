# Ablation, not in the paper: a depth-wise convolution of the values beside
# the attention.
_base_ = ['./anchorformer-t_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(attention=dict(depthwise=True)))
