# DeiT-S: anchorformer-s with softmax attention; nothing else changes.
_base_ = ['./anchorformer-s_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(attention=dict(type='mmanchor.SoftmaxAttention', qkv_bias=True)))
