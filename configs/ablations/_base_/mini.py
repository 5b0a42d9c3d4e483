"""Stages of small studies: the tiny model on rendered people, minutes of each stage on two cores.

Data: $DATA_ROOT/synthetic, for train and, with another seed, for val (docs/ablations.md has the command).
Lengths: 2000 steps of 16 images for a pretraining, 500 of 16 for a finetuning, with one evaluation at its end. Images are loaded
by the process that trains, since --on local:N fills the cores.
"""

_pretrain_steps, _steps, _pretrain_warm_up, _warm_up = 2000, 500, 200, 100
_shared = {
    'train_dataloader.num_workers': 0,
    'val_dataloader.num_workers': 0,
    'test_dataloader.num_workers': 0,
}
_pretrain_length = {
    'train_cfg.max_iters': _pretrain_steps,
    'train_cfg.val_interval': _pretrain_steps,
    'param_scheduler.1.T_max': _pretrain_steps - _pretrain_warm_up,
    'param_scheduler.1.end': _pretrain_steps,
    'default_hooks.checkpoint.interval': _pretrain_steps,
    'custom_hooks.0.interval': _pretrain_steps,
}
_length = {
    'train_cfg.max_iters': _steps,
    'train_cfg.val_interval': _steps,
    'param_scheduler.1.end': _steps,
    'default_hooks.checkpoint.interval': _steps,
    'custom_hooks.0.interval': _steps,
}
_finetune = {**_shared, 'param_scheduler.0.end': _warm_up, 'param_scheduler.1.begin': _warm_up, **_length}
_stages = dict(
    pretrain=dict(
        name='pretrain',
        config='mae/sapiens_tiny_synthetic-128x128',
        options={
            **_shared,
            'param_scheduler.0.end': _pretrain_warm_up,
            'param_scheduler.1.begin': _pretrain_warm_up,
            **_pretrain_length,
        },
    ),
    pose=dict(name='pose', config='pose/sapiens_tiny_synthetic17-128x96', options=_finetune),
    seg=dict(name='seg', config='seg/sapiens_tiny_synthetic-128x96', options=_finetune),
    depth=dict(name='depth', config='depth/sapiens_tiny_synthetic-128x96', options=_finetune),
    normal=dict(name='normal', config='normal/sapiens_tiny_synthetic-128x96', options=_finetune),
)
# The same tasks from the encoder that the study pretrains.
_pretrained = {name: dict(stage, after='pretrain') for name, stage in _stages.items() if name != 'pretrain'}
seeds = [0, 1]
