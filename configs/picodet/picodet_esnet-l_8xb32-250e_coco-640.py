# PicoDet-L on COCO (arXiv 2111.00902). PaddleDetection reports 40.9 box AP
# at 640 x 640.
_base_ = [
    '../_base_/models/picodet_esnet-l.py',
    '../_base_/datasets/coco_picodet-640.py',
    '../_base_/schedules/sgd-cosine_250e.py',
    '../_base_/runtimes/mmdet.py',
]
model = dict(data_preprocessor=dict(batch_augments=_base_.batch_augments))
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=256)  # 8 x 32
