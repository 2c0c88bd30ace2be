# As coco_multiscale-800, with masks.
_base_ = ['./coco_multiscale-800.py']
load_masks = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
train_pipeline = [_base_.load, load_masks, *_base_.augment]
test_pipeline = [_base_.load, _base_.resize, load_masks, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
