# DeiT's schedule: AdamW over 300 epochs (arXiv 2012.12877, Table 9).
optim_wrapper = dict(
    type='OptimWrapper',
    # 5e-4 * 1024 images / 512
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        # Not decayed: the length of an anchor is the temperature of its
        # softmax, and a position embedding is not a weight.
        custom_keys=dict(
            cls_token=dict(decay_mult=0.0),
            dist_token=dict(decay_mult=0.0),
            pos_embed=dict(decay_mult=0.0),
            anchors=dict(decay_mult=0.0),
        ),
    ),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-3,
        by_epoch=True,
        begin=0,
        end=5,
        convert_to_iter_based=True,
    ),
    dict(type='CosineAnnealingLR', T_max=295, eta_min=1e-5, by_epoch=True, begin=5, end=300),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=1024)
# Moving average of the weights with decay 0.99996, as in DeiT's code.
custom_hooks = [dict(type='EMAHook', momentum=4e-5, priority='ABOVE_NORMAL')]
