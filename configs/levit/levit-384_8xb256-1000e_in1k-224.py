# LeViT-384: anchor-levit-384 with softmax attention; nothing else changes.
_base_ = ['./anchor-levit-384_8xb256-1000e_in1k-224.py']
model = dict(backbone=dict(attention='softmax'))
