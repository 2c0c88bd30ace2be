# mmdet's Mask R-CNN with AnchorFormer-S on COCO; in no table of the paper.
_base_ = [
    '../_base_/models/mask-rcnn_anchorformer-s.py',
    '../_base_/datasets/coco_instance-800.py',
    '../_base_/schedules/adamw-layer-decay_36e.py',
    '../_base_/runtimes/mmdet.py',
]
default_hooks = dict(checkpoint=dict(interval=4))  # as often as it validates
