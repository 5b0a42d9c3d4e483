_base_ = ['../_base_/full.py', '../_base_/pretraining_data.py']

# Counted in iterations, since the folders have different numbers of images: 300 million photographs once, in batches of 4096. The
# fractions of warm-up are published.
_steps, _warm_up, _interval = 73_000, 1_825, 1_000
_length = {
    'train_cfg': dict(type='TrainLoop', max_iters=_steps, val_interval=_interval),
    'param_scheduler': [
        dict(type='LinearLR', start_factor=1e-4, by_epoch=False, begin=0, end=_warm_up),
        dict(type='CosineAnnealingLR', T_max=_steps - _warm_up, by_epoch=False, begin=_warm_up, end=_steps),
    ],
    'default_hooks.checkpoint.by_epoch': False,
    'default_hooks.checkpoint.interval': _interval,
    '+log_processor.by_epoch': False,
}
chain = [dict(_base_._stages['pretrain'], options=_length), _base_._pretrained['pose'], _base_._pretrained['seg']]
