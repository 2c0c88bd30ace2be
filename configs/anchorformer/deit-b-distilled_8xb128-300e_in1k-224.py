# DeiT-B distilled: anchorformer-b-distilled with softmax attention.
_base_ = ['./anchorformer-b-distilled_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(attention=dict(type='mmanchor.SoftmaxAttention', qkv_bias=True)))
