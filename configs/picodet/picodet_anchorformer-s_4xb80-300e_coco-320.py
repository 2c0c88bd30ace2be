# PicoDet-M with AnchorFormer-S in place of ESNet: Table 2 of arXiv
# 2505.16463, which has 5.5M parameters and 1.7 GMACs; a reconstruction.
_base_ = [
    '../_base_/models/picodet_anchorformer-s.py',
    '../_base_/datasets/coco_picodet-320.py',
    '../_base_/schedules/sgd-cosine_300e.py',
    '../_base_/runtimes/mmdet.py',
]
model = dict(data_preprocessor=dict(batch_augments=_base_.batch_augments))
