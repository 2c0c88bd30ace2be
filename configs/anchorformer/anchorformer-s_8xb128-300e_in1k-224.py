# AnchorFormer, Table 1, row AnchorFormer-S: deit-s
# with anchor attention; nothing else changes.
_base_ = ['./deit-s_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(attention=dict(_delete_=True, type='mmanchor.LearnedAnchorAttention')))
