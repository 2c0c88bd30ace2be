# AnchorFormer, Fig. 5b: LeViT-256 with anchors, in LeViT's recipe.
_base_ = [
    '../_base_/models/anchor-levit-256_cls.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/adamw-cosine_1000e.py',
    '../_base_/runtimes/mmpretrain.py',
]
train_dataloader = dict(batch_size=256)
