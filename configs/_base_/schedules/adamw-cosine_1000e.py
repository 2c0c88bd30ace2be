# LeViT's schedule: AdamW over 1000 epochs (arXiv 2104.01136, Section 5.1,
# and its code).
optim_wrapper = dict(
    type='OptimWrapper',
    # 5e-4 * 2048 images / 512
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.999), weight_decay=0.025),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        # Not decayed: the length of an anchor is the temperature of its
        # softmax, and position biases and embeddings are not weights.
        custom_keys=dict(
            attention_biases=dict(decay_mult=0.0),
            pos_embed=dict(decay_mult=0.0),
            anchors=dict(decay_mult=0.0),
        ),
    ),
)
param_scheduler = [
    # Starts at 2e-3 * 5e-4 = 1e-6.
    dict(
        type='LinearLR',
        start_factor=5e-4,
        by_epoch=True,
        begin=0,
        end=5,
        convert_to_iter_based=True,
    ),
    dict(type='CosineAnnealingLR', T_max=995, eta_min=1e-5, by_epoch=True, begin=5, end=1000),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1000, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=2048)
# Moving average of the weights with decay 0.99996, as in LeViT's code.
custom_hooks = [dict(type='EMAHook', momentum=4e-5, priority='ABOVE_NORMAL')]
