# AnchorFormer, Table 1, row AnchorFormer-B: deit-b
# with anchor attention; nothing else changes.
_base_ = ['./deit-b_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(attention=dict(_delete_=True, type='mmanchor.LearnedAnchorAttention')))
