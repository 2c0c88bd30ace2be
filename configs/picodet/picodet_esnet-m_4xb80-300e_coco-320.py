# PicoDet-M on COCO (arXiv 2111.00902). PaddleDetection reports 30.9 box AP
# at 320 x 320.
_base_ = [
    '../_base_/models/picodet_esnet-m.py',
    '../_base_/datasets/coco_picodet-320.py',
    '../_base_/schedules/sgd-cosine_300e.py',
    '../_base_/runtimes/mmdet.py',
]
model = dict(data_preprocessor=dict(batch_augments=_base_.batch_augments))
