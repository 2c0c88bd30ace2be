# AdamW over 36 epochs with total batch 16, as mmdet trains Swin's detectors
# (3x), with the layer-wise decay of adamw-layer-decay_160k; it was not tuned.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmanchor.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        layer_decay_rate=0.75,
        norm_decay_mult=0.0,
        # Not decayed: the length of an anchor is the temperature of its
        # softmax, and a position embedding is not a weight.
        custom_keys=dict(anchors=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0)),
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', milestones=[27, 33], gamma=0.1, by_epoch=True, begin=0, end=36),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=36, val_interval=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=16)
