# LeViT-192 (arXiv 2104.01136) in its recipe.
_base_ = ['./levit-256_8xb256-1000e_in1k-224.py']
model = dict(backbone=dict(arch='192'), head=dict(in_channels=384))
