# COCO 2017 as PicoDet is trained and tested on it, without the image size: a
# random crop, a flip and a color distortion, then a square that ignores the
# aspect ratio. coco_picodet-{320,416,640}.py put the pipelines together.
# configs/picodet/README.md lists what differs from PaddleDetection.
_base_ = ['./coco_detection.py']
load = dict(type='LoadImageFromFile')
load_boxes = dict(type='LoadAnnotations', with_bbox=True)
augment = [
    load,
    load_boxes,
    dict(type='mmanchor.RandomObjectCrop'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
]
# Takes a `scale`.
resize = dict(type='Resize', keep_ratio=False, interpolation='bicubic')
pack = [
    # Drops boxes that resizing shrinks to nothing; the image stays.
    dict(type='FilterAnnotations', min_gt_bbox_wh=(0, 0), keep_empty=False),
    dict(type='PackDetInputs'),
]
load_boxes_and_pack = [
    load_boxes,
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
flip_and_pack = [
    [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)],
    [load_boxes],
    [dict(type='PackDetInputs')],
]
train_dataloader = dict(batch_size=80, num_workers=6)
val_dataloader = dict(batch_size=8, num_workers=6)
test_dataloader = val_dataloader
