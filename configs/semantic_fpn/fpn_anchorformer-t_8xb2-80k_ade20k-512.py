# Semantic-FPN with AnchorFormer-T on ADE20K; the paper has only size S.
_base_ = [
    '../_base_/models/fpn_anchorformer-t.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/adamw_80k.py',
    '../_base_/runtimes/mmseg.py',
]
