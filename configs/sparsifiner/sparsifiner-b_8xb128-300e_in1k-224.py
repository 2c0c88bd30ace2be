# Sparsifiner-S with the width of DeiT-B.
_base_ = ['./sparsifiner-s_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(arch='base'), head=dict(in_channels=768))
