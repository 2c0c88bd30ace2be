# What every classifier shares: logging, checkpoints, checks. Recipes, such as
# a moving average of the weights, are in ../schedules.
default_scope = 'mmpretrain'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=3, save_best='accuracy/top1'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='VisualizationHook', enable=False),
    # Among the default hooks, so that a config that sets custom_hooks keeps them.
    stop_on_nan=dict(type='mmanchor.StopOnNanHook'),
    skipped_images=dict(type='mmanchor.SkippedImagesHook'),
    # Seeds each sample by its number, so that a resumed run equals a whole one.
    exact_resume=dict(type='mmanchor.ExactResumeHook'),
)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
# The toolboxes' own tools look the visualizer up by its name.
visualizer = dict(type='UniversalVisualizer', name='visualizer', vis_backends=vis_backends)
log_processor = dict(type='LogProcessor', window_size=100, by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False

tta_model = dict(type='AverageClsScoreTTA')
