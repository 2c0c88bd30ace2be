# What every detector shares: logging, checkpoints, checks. Recipes, such as a
# moving average of the weights, are in ../schedules.
default_scope = 'mmdet'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook', interval=10, max_keep_ckpts=3, save_best='coco/bbox_mAP'
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DetVisualizationHook'),
    # Among the default hooks, so that a config that sets custom_hooks keeps them.
    num_classes=dict(type='NumClassCheckHook'),
    stop_on_nan=dict(type='mmanchor.StopOnNanHook'),
    skipped_images=dict(type='mmanchor.SkippedImagesHook'),
    # Seeds each sample by its number, so that a resumed run equals a whole one.
    exact_resume=dict(type='mmanchor.ExactResumeHook'),
)

env_cfg = dict(
    # The size of the images changes from batch to batch.
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
# The toolboxes' own tools look the visualizer up by its name.
visualizer = dict(type='DetLocalVisualizer', name='visualizer', vis_backends=vis_backends)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
