# The ablations at a small scale: 3 layers of 64 channels on 64 tokens. The rows
# of `mmanchor ablation` derive from this config.
_base_ = ['../_base_/datasets/digits_32.py', '../_base_/runtimes/mmpretrain.py']
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmanchor.AnchorFormer',
        arch=dict(embed_dims=64, num_layers=3, num_heads=2, mlp_ratio=2),
        img_size=32,
        patch_size=4,
        attention=dict(type='mmanchor.LearnedAnchorAttention'),
        extra_tokens=('cls',),
        out_type='tokens',
        drop_path_rate=0.05,
    ),
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        # With DeiT's 0.02, weights would not grow enough in so short a training.
        init_cfg=dict(type='Normal', layer='Linear', std=0.07),
    ),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(
            cls_token=dict(decay_mult=0.0),
            pos_embed=dict(decay_mult=0.0),
            anchors=dict(decay_mult=0.0),
        ),
    ),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-2,
        by_epoch=True,
        begin=0,
        end=3,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=17,
        eta_min=0.0,
        by_epoch=True,
        begin=3,
        end=20,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=32)
