# PicoDet-L's schedule: a lower learning rate, and the cosine over 300 epochs
# is stopped after 250, before its end.
_base_ = ['./sgd-cosine_300e.py']
optim_wrapper = dict(optimizer=dict(lr=0.3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=300),
    dict(
        type='CosineAnnealingLR',
        T_max=300,
        eta_min=0.0,
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=250,
    ),
]
train_cfg = dict(max_epochs=250)
