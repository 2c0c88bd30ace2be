# mmdet's RetinaNet with AnchorFormer-S on COCO; in no table of the paper.
_base_ = [
    '../_base_/models/retinanet_anchorformer-s.py',
    '../_base_/datasets/coco_multiscale-800.py',
    '../_base_/schedules/adamw-layer-decay_36e.py',
    '../_base_/runtimes/mmdet.py',
]
default_hooks = dict(checkpoint=dict(interval=4))  # as often as it validates
