# DeiT-Ti: anchorformer-t with softmax attention, Table 4, row ViT; nothing
# else changes.
_base_ = ['./anchorformer-t_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(attention=dict(type='mmanchor.SoftmaxAttention', qkv_bias=True)))
