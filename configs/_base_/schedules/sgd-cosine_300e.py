# PicoDet's schedule: SGD with a cosine over 300 epochs, learning rate 0.4 for a
# total batch of 320 (4 x 80), 300 iterations of warm-up from a tenth of it.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.4, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(
        # As in PaddleDetection: batch norms are not decayed in backbone and
        # head, but are in the neck.
        norm_decay_mult=0.0,
        custom_keys={
            'neck.': dict(decay_mult=1.0),
            # Not decayed: the length of an anchor is the temperature of
            # its softmax, and a position embedding is not a weight.
            'anchors': dict(decay_mult=0.0),
            'pos_embed': dict(decay_mult=0.0),
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=300),
    dict(
        type='CosineAnnealingLR',
        T_max=300,
        eta_min=0.0,
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=300,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=320)
# Moving average of the weights and batch-norm statistics with decay
# min(0.9998, (1 + n) / (10 + n)), restarted every 40 epochs, as in
# PaddleDetection. Priority 49: just before hooks of normal priority (50).
custom_hooks = [
    dict(
        type='mmanchor.RestartedEMAHook',
        restart_interval=40,
        ema_type='MomentumAnnealingEMA',
        momentum=0.0002,
        gamma=9,
        update_buffers=True,
        priority=49,
    )
]
