# AnchorFormer, Table 1, row AnchorFormer-T; Table 5, tiny, M = 30: deit-t
# with anchor attention; nothing else changes.
_base_ = ['./deit-t_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(attention=dict(_delete_=True, type='mmanchor.LearnedAnchorAttention')))
