# AnchorFormer, Fig. 5b: levit-128 with anchor attention; nothing else changes.
_base_ = ['./levit-128_8xb256-1000e_in1k-224.py']
model = dict(backbone=dict(attention='learned'))
