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
)
custom_hooks = [
    dict(type='NumClassCheckHook'),
    dict(type='mmanchor.StopOnNanHook'),
    dict(type='mmanchor.SkippedPicturesHook'),
    # Decay 0.9998, as PaddleDetection warms it up, statistics of batch norm
    # included, started anew every 40 epochs.
    dict(
        type='mmanchor.RestartedEMAHook',
        restart_interval=40,
        ema_type='MomentumAnnealingEMA',
        momentum=0.0002,
        gamma=9,
        update_buffers=True,
        priority=49,
    ),
]

env_cfg = dict(
    # The size of the images changes from batch to batch.
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

# Without a name, so that several runs in one process do not share it.
visualizer = dict(type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False

tta_model = dict(
    type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.6), max_per_img=100)
)
