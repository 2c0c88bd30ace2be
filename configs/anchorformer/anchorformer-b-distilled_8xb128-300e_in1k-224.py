# AnchorFormer-B with a distillation token: deit-b-distilled with anchor
# attention; nothing else changes.
_base_ = ['./deit-b-distilled_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(attention=dict(_delete_=True, type='mmanchor.LearnedAnchorAttention')))
