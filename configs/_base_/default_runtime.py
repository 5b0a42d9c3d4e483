# What every run needs, whatever the task.
default_scope = 'sapiens'
custom_imports = dict(imports=['sapiens.engine'], allow_failed_imports=False)

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    throughput=dict(type='ThroughputHook'),
    bad_data=dict(type='BadDataHook', max_share=0.01, min_samples=100),
    logger=dict(type='LoggerHook', interval=10),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=True, max_keep_ckpts=3),
    stop=dict(type='StopHook'),
    sampler_seed=None,
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='auto'),
)
visualizer = dict(
    type='Visualizer',
    vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
)
# Only training scalars are averaged; a metric such as mae/loss (with a slash) is logged as it is.
log_processor = dict(
    type='LogProcessor', window_size=10, by_epoch=True, mean_pattern=r'^[^/]*(loss|time|grad_norm)[^/]*$'
)
log_level = 'INFO'
# Every rank draws its own masks; the order of the data is common to all.
randomness = dict(seed=0, diff_rank_seed=True)
load_from = None
resume = False
