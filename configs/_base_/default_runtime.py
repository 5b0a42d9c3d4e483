# Settings of every run.
default_scope = 'sapiens'
custom_imports = dict(imports=['sapiens.engine'], allow_failed_imports=False)

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    throughput=dict(type='ThroughputHook'),
    data_check=dict(type='DataCheckHook'),
    bad_data=dict(type='BadDataHook', max_share=0.01, min_samples=100),
    logger=dict(type='LoggerHook', interval=10, log_metric_by_epoch=False),  # metrics are logged by iteration too
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook', interval=1, by_epoch=True, max_keep_ckpts=3, interval_minutes=None, format='auto'
    ),
    stop=dict(type='StopHook'),
    garbage=dict(type='GarbageHook'),
    sampler_seed=None,
)
# Batch sizes, learning rates and lengths: _base_/schedules/.
train_dataloader = dict(
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='stack_collate'),
)
val_dataloader = dict(
    num_workers=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='stack_collate', labels=False),
)
test_dataloader = val_dataloader
optim_wrapper = dict(
    type='OptimWrapper',
    precision='auto',
    optimizer=dict(type='AdamW', fused=True),
    clip_grad=dict(max_norm=1.0),
    accumulative_counts=1,
    nonfinite='skip',
    max_skipped_in_a_row=10,
    constructor='ParamGroupConstructor',
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
env_cfg = dict(
    cudnn_benchmark=True,
    matmul_precision='auto',
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # Seconds that processes wait for each other: at the start, in evaluations and saves; in training steps.
    dist_cfg=dict(backend='auto', timeout=1800, step_timeout=120),
)
visualizer = dict(
    type='Visualizer',
    vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
)
# Only training scalars are averaged; metrics such as mae/loss (with a slash) and val_loss are not averaged.
log_processor = dict(
    type='LogProcessor', window_size=10, by_epoch=True, mean_pattern=r'^(?!val_)[^/]*(loss|time|grad_norm)[^/]*$'
)
log_level = 'INFO'
# All ranks use one order of the data. Models draw from the seeds of samples. Code that does not draws by rank.
randomness = dict(seed=0, diff_rank_seed=True)
# By several processes: dict(type='FSDP2', ...) shards the weights.
parallel = dict(type='DDP')
load_from = None
resume = False
