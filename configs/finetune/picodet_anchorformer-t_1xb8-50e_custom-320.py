# PicoDet with AnchorFormer-T on your own data in COCO's format. Copy this file
# wherever you like, edit the settings below, and run:
#     mmanchor check-data my_detector.py
#     mmanchor train my_detector.py
_base_ = ['mmanchor::picodet/picodet_anchorformer-t_4xb80-300e_coco-320.py']

# Settings: everything that you need to edit.
data_root = 'data/custom_detection'  # folder that holds the files below
train_json = 'annotations/train.json'  # annotations in COCO's format
train_images = 'train'  # folder of the images that they name
val_json = 'annotations/val.json'
val_images = 'val'
classes = ('cat', 'dog')  # names in the annotations; a single one needs a comma: ('cat',)
image_size = 320  # images are resized to this square; a multiple of 32, at least 128
batch_size = 8
max_epochs = 50
load_from = None  # checkpoint to start from; layers of other classes start at random

# The learning rate grows with the batch: 0.4 for 320 images on COCO.
lr = 0.4 * batch_size / 320
# Each batch is resized to one of these squares, so that objects vary in size.
batch_augments = [
    dict(type='mmanchor.RandomSquareSize', sizes=tuple(range(image_size - 64, image_size + 65, 32)))
]
model = dict(
    data_preprocessor=dict(batch_augments=batch_augments), bbox_head=dict(num_classes=len(classes))
)

# The pipelines of the base, at this image size.
resize = {**_base_.resize, 'scale': (image_size, image_size)}
train_pipeline = [*_base_.augment, resize, *_base_.pack]
test_pipeline = [_base_.load, resize, *_base_.load_boxes_and_pack]
tta_pipeline = [_base_.load, dict(type='TestTimeAug', transforms=[[resize], *_base_.flip_and_pack])]

# Three loaders: training, validation, and a test on the validation images.
dataset = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,  # 0 also needs persistent_workers=False
    dataset=dict(
        ann_file=train_json,
        data_prefix=dict(img=train_images),
        # Images without objects teach what is background.
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        ann_file=val_json, data_prefix=dict(img=val_images), pipeline=test_pipeline, **dataset
    ),
)
test_dataloader = val_dataloader
# COCO's average precision, also of each class.
val_evaluator = dict(ann_file=f'{data_root}/{val_json}', classwise=True)
test_evaluator = val_evaluator

# SGD: one epoch of warm-up, then a cosine down to 0.
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=1, convert_to_iter_based=True
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs,
        eta_min=0.0,
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=max_epochs,
    ),
]
auto_scale_lr = dict(base_batch_size=batch_size)
# Validate and save every 5 epochs; the best checkpoint is kept as well.
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=5, max_keep_ckpts=2))
# A moving average of the weights is what is scored and saved.
custom_hooks = _base_.custom_hooks
custom_hooks[0].restart_interval = max_epochs
