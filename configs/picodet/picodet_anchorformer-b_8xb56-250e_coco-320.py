# PicoDet-L with AnchorFormer-B in place of ESNet: Table 2 of arXiv
# 2505.16463, which has 8.6M parameters and 2.8 GMACs; a reconstruction.
_base_ = [
    '../_base_/models/picodet_anchorformer-b.py',
    '../_base_/datasets/coco_picodet-320.py',
    '../_base_/schedules/sgd-cosine_250e.py',
    '../_base_/runtimes/mmdet.py',
]
model = dict(data_preprocessor=dict(batch_augments=_base_.batch_augments))
train_dataloader = dict(batch_size=56)
auto_scale_lr = dict(base_batch_size=448)  # 8 x 56
