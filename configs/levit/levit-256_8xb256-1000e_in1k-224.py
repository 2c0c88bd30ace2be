# LeViT-256 (arXiv 2104.01136) in its recipe.
_base_ = [
    '../_base_/models/levit-256_cls.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/adamw-cosine_1000e.py',
    '../_base_/runtimes/mmpretrain.py',
]
train_dataloader = dict(batch_size=256)
