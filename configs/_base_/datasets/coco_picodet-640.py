# PicoDet's data at 640 x 640 pixels.
_base_ = ['./coco_picodet.py']
side = 640
img_scale = (side, side)
# One random size per batch; a config gives this to model.data_preprocessor.
batch_augments = [
    dict(type='mmanchor.RandomSquareSize', sizes=tuple(range(side - 64, side + 65, 32)))
]
resize = dict(**_base_.resize, scale=img_scale)
train_pipeline = [*_base_.augment, resize, *_base_.pack]
test_pipeline = [_base_.load, resize, *_base_.load_boxes_and_pack]
tta_sizes = [dict(**_base_.resize, scale=(each, each)) for each in (side - 64, side, side + 64)]
tta_pipeline = [
    _base_.load,
    dict(type='TestTimeAug', transforms=[tta_sizes, *_base_.flip_and_pack]),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
