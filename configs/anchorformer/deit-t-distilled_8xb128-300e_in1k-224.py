# DeiT-Ti with a distillation token; see deit-s-distilled.
_base_ = ['./deit-s-distilled_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(arch='tiny'), head=dict(in_channels=192))
