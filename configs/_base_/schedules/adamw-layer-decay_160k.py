# AdamW with layer-wise decay, as transformers are fine-tuned in mmseg; total
# batch 16. The rate is between BEiT's 0.9 and MAE's 0.65; it was not tuned.
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
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=1500, end=160000),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=160000, val_interval=8000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=16)
