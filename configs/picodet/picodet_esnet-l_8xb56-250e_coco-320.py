# PicoDet-L on COCO (arXiv 2111.00902). PaddleDetection reports 32.9 box AP
# at 320 x 320.
_base_ = [
    '../_base_/models/picodet_esnet-l.py',
    '../_base_/datasets/coco_picodet-320.py',
    '../_base_/schedules/sgd-cosine_250e.py',
    '../_base_/runtimes/mmdet.py',
]
model = dict(data_preprocessor=dict(batch_augments=_base_.batch_augments))
train_dataloader = dict(batch_size=56)
auto_scale_lr = dict(base_batch_size=448)  # 8 x 56
