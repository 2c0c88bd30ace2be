# UperNet with Sparsifiner-S on ADE20K; in no table of its paper (arXiv
# 2303.13755). The recipe is that of upernet_anchorformer-s.
_base_ = [
    '../_base_/models/upernet_anchorformer-s.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/adamw-layer-decay_160k.py',
    '../_base_/runtimes/mmseg.py',
]
# The number of basis vectors at 224 x 224 pixels, 197 // 6, so that those of
# ImageNet weights fit.
model = dict(backbone=dict(type='mmanchor.Sparsifiner', keep_rates=0.25, num_basis=32))
custom_hooks = [dict(type='mmanchor.AuxiliaryLossHook')]
