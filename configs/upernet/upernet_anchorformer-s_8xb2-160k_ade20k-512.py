# UperNet with AnchorFormer-S on ADE20K: Table 3 of AnchorFormer
# (arXiv 2505.16463), row "AnchorFormer (UperNet)", reported 46.28 mIoU,
# 49.6M parameters, 928.1 G at 512 x 2048.
_base_ = [
    '../_base_/models/upernet_anchorformer-s.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/adamw-layer-decay_160k.py',
    '../_base_/runtimes/mmseg.py',
]
