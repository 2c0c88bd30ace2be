# Sparsifiner-S as its authors train it: 50 epochs from the weights of DeiT-S
# (load_from), with the dense DeiT-S as the teacher. README.md says where this
# differs from their released configuration.
_base_ = ['./sparsifiner-s_8xb128-300e_in1k-224.py']
model = dict(
    type='mmanchor.DistilledClassifier',
    # timm downloads its weights; a checkpoint of your own is given as
    # model.teacher_checkpoint.
    teacher=dict(
        type='TimmClassifier', model_name='deit_small_patch16_224.fb_in1k', pretrained=True
    ),
    distillation='soft',
    # Labels to teacher as 1 to 0.5: 0.5 / 1.5
    distillation_weight=1 / 3,
)
optim_wrapper = dict(
    # 8e-5 * 1024 images / 1344
    optimizer=dict(lr=6.1e-5),
    # The predictor is new: 3e-4 / 8e-5
    paramwise_cfg=dict(custom_keys=dict(predictor=dict(lr_mult=3.75))),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-3,
        by_epoch=True,
        begin=0,
        end=3,
        convert_to_iter_based=True,
    ),
    dict(type='CosineAnnealingLR', T_max=47, eta_min=1.5e-6, by_epoch=True, begin=3, end=50),
]
train_cfg = dict(max_epochs=50)
