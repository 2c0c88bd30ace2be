# AnchorFormer, Fig. 5b: LeViT-192 with anchors, in LeViT's recipe.
_base_ = ['./anchor-levit-256_8xb256-1000e_in1k-224.py']
model = dict(backbone=dict(arch='192'), head=dict(in_channels=384))
