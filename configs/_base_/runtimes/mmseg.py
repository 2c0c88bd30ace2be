# What every segmentor shares: logging, checkpoints, checks.
default_scope = 'mmseg'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook', by_epoch=False, interval=8000, max_keep_ckpts=3, save_best='mIoU'
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
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
# Models are written with BN; distributed training turns it into SyncBN, so
# that the same config also runs on one device or on a CPU.
sync_bn = 'torch'

vis_backends = [dict(type='LocalVisBackend')]
# The toolboxes' own tools look the visualizer up by its name.
visualizer = dict(type='SegLocalVisualizer', name='visualizer', vis_backends=vis_backends)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False

tta_model = dict(type='SegTTAModel')
