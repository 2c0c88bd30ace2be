# AdamW with a polynomial decay for Semantic-FPN, as PVT and PoolFormer train
# it; total batch 32 (8 x 4), 40000 iterations.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.0002, betas=(0.9, 0.999), weight_decay=1e-4),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        # Not decayed: the length of an anchor is the temperature of its
        # softmax, and a position embedding is not a weight.
        custom_keys=dict(anchors=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0)),
    ),
)
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=0.9, by_epoch=False, begin=0, end=40000)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=40000, val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=32)
