# Ablation, Table 4, row Anchor: anchors chosen among the tokens (Fig. 3a).
_base_ = ['./anchorformer-t_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(attention=dict(type='mmanchor.TokenAnchorAttention')))
