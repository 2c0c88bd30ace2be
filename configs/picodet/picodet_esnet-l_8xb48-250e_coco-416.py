# PicoDet-L on COCO (arXiv 2111.00902). PaddleDetection reports 36.6 box AP
# at 416 x 416.
_base_ = [
    '../_base_/models/picodet_esnet-l.py',
    '../_base_/datasets/coco_picodet-416.py',
    '../_base_/schedules/sgd-cosine_250e.py',
    '../_base_/runtimes/mmdet.py',
]
model = dict(data_preprocessor=dict(batch_augments=_base_.batch_augments))
train_dataloader = dict(batch_size=48)
auto_scale_lr = dict(base_batch_size=384)  # 8 x 48
