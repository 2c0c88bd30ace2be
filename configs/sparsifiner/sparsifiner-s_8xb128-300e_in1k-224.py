# Sparsifiner-S (arXiv 2303.13755) from random weights, in DeiT's recipe: each
# token attends to a quarter of the tokens, as in the released configuration.
_base_ = [
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/adamw-cosine_300e.py',
    '../_base_/runtimes/mmpretrain.py',
]
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmanchor.Sparsifiner',
        arch='small',
        img_size=224,
        keep_rates=0.25,
        extra_tokens=('cls',),
        out_type='tokens',
        drop_path_rate=0.1,
    ),
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=1000,
        in_channels=384,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
    # Each batch gets one of the two.
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
# Without it the predictor of the attention would not learn.
custom_hooks = [*_base_.custom_hooks, dict(type='mmanchor.AuxiliaryLossHook')]
