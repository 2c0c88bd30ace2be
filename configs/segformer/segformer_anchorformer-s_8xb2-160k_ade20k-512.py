# mmseg's SegFormer head on AnchorFormer-S, on ADE20K; in no table of the paper.
_base_ = [
    '../_base_/models/segformer_anchorformer-s.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/adamw-layer-decay_160k.py',
    '../_base_/runtimes/mmseg.py',
]
