# DeiT-B (arXiv 2012.12877).
_base_ = ['./deit-s_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(arch='base'), head=dict(in_channels=768))
