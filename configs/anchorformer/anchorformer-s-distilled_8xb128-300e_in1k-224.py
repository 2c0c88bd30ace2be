# AnchorFormer-S with a distillation token: deit-s-distilled with anchor
# attention; nothing else changes. The released classifier of the authors has
# two extra tokens as well.
_base_ = ['./deit-s-distilled_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(attention=dict(_delete_=True, type='mmanchor.LearnedAnchorAttention')))
