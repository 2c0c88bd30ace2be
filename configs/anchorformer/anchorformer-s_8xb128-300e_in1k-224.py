# AnchorFormer, Table 1, row AnchorFormer-S, in DeiT's recipe.
_base_ = [
    '../_base_/models/anchorformer-s_cls.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/adamw-cosine_300e.py',
    '../_base_/runtimes/mmpretrain.py',
]
