# Semantic-FPN with AnchorFormer-S on ADE20K: Table 3 of AnchorFormer
# (arXiv 2505.16463), row "AnchorFormer (Semantic-FPN)", reported 43.81 mIoU,
# 21.6M parameters, 193.7 G at 512 x 2048. The paper gives no schedule.
_base_ = [
    '../_base_/models/fpn_anchorformer-s.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/adamw_80k.py',
    '../_base_/runtimes/mmseg.py',
]
