# PicoDet-M on COCO (arXiv 2111.00902). PaddleDetection reports 34.8 box AP
# at 416 x 416.
_base_ = [
    '../_base_/models/picodet_esnet-m.py',
    '../_base_/datasets/coco_picodet-416.py',
    '../_base_/schedules/sgd-cosine_300e.py',
    '../_base_/runtimes/mmdet.py',
]
model = dict(data_preprocessor=dict(batch_augments=_base_.batch_augments))
