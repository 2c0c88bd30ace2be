# DeiT-S (arXiv 2012.12877) in its recipe.
_base_ = [
    '../_base_/models/deit-s_cls.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/adamw-cosine_300e.py',
    '../_base_/runtimes/mmpretrain.py',
]
