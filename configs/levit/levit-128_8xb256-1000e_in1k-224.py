# LeViT-128: anchor-levit-128 with softmax attention; nothing else changes.
_base_ = ['./anchor-levit-128_8xb256-1000e_in1k-224.py']
model = dict(backbone=dict(attention='softmax'))
