# Sparsifiner-S with the width of DeiT-T.
_base_ = ['./sparsifiner-s_8xb128-300e_in1k-224.py']
model = dict(backbone=dict(arch='tiny'), head=dict(in_channels=192))
