# SimMIM (arXiv 2111.09886) with AnchorFormer-S: blocks of 32 pixels are hidden
# behind one learned token, and a linear layer paints them. The recipe of ViT-B
# in the paper (appendix A.2), in mmpretrain's 100 epochs.
_base_ = ['../_base_/datasets/unlabeled.py', '../_base_/runtimes/mmpretrain.py']
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.67, 1.0)),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='SimMIMMaskGenerator',
        input_size=224,
        mask_patch_size=32,
        model_patch_size=16,
        mask_ratio=0.6,
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=256, dataset=dict(pipeline=train_pipeline))
model = dict(
    type='SimMIM',
    backbone=dict(
        type='mmanchor.SimMIMAnchorFormer', arch='small', img_size=224, drop_path_rate=0.1
    ),
    neck=dict(type='SimMIMLinearDecoder', in_channels=384, encoder_stride=16),
    head=dict(
        type='SimMIMHead',
        patch_size=16,
        loss=dict(type='PixelReconstructionLoss', criterion='L1', channel=3),
    ),
)
optim_wrapper = dict(
    type='OptimWrapper',
    # 2e-4 * 2048 images / 512
    optimizer=dict(type='AdamW', lr=8e-4, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(
            mask_token=dict(decay_mult=0.0),
            pos_embed=dict(decay_mult=0.0),
            anchors=dict(decay_mult=0.0),
        ),
    ),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=5e-3,  # 1e-6 / 2e-4
        by_epoch=True,
        begin=0,
        end=10,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=90,
        eta_min=4e-5,  # 1e-5 * 2048 / 512
        by_epoch=True,
        begin=10,
        end=100,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100)
# Nothing is scored.
default_hooks = dict(checkpoint=dict(interval=10, save_best=None))
auto_scale_lr = dict(enable=False, base_batch_size=2048)
