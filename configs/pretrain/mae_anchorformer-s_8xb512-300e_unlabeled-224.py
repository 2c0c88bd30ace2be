# MAE (arXiv 2111.06377) with AnchorFormer-S: 75 % of the patches are left out,
# and a decoder of 8 softmax layers paints them. mmpretrain's recipe of ViT-B.
_base_ = ['../_base_/datasets/unlabeled.py', '../_base_/runtimes/mmpretrain.py']
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop',
        scale=224,
        crop_ratio_range=(0.2, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=512, dataset=dict(pipeline=train_pipeline))
model = dict(
    type='MAE',
    backbone=dict(type='mmanchor.MAEAnchorFormer', arch='small', img_size=224, mask_ratio=0.75),
    neck=dict(
        type='MAEPretrainDecoder',
        num_patches=196,  # (224 / 16) ** 2
        patch_size=16,
        embed_dim=384,
        decoder_embed_dim=512,
        decoder_depth=8,
        decoder_num_heads=16,
    ),
    head=dict(
        type='MAEPretrainHead',
        norm_pix=True,
        patch_size=16,
        loss=dict(type='PixelReconstructionLoss', criterion='L2'),
    ),
)
optim_wrapper = dict(
    type='OptimWrapper',
    # 1.5e-4 * 4096 images / 256
    optimizer=dict(type='AdamW', lr=2.4e-3, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(
            cls_token=dict(decay_mult=0.0),
            mask_token=dict(decay_mult=0.0),
            pos_embed=dict(decay_mult=0.0),
            anchors=dict(decay_mult=0.0),
        ),
    ),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-4,
        by_epoch=True,
        begin=0,
        end=40,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=260,
        by_epoch=True,
        begin=40,
        end=300,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300)
# Nothing is scored.
default_hooks = dict(checkpoint=dict(interval=10, save_best=None))
auto_scale_lr = dict(enable=False, base_batch_size=4096)
