"""Stages of small studies: the tiny model on rendered people, minutes of each stage on two cores.

Data: $DATA_ROOT/synthetic, for train and, with another seed, for val (docs/ablations.md has the command).
Lengths: 4000 steps of 16 images for a pretraining, 1500 of 16 for a finetuning, with one evaluation at its end.
"""

_pretrain_steps, _steps = 4000, 1500
_length = {
    'train_cfg.max_iters': _steps,
    'train_cfg.val_interval': _steps,
    'param_scheduler.1.end': _steps,
    'default_hooks.checkpoint.interval': _steps,
    'custom_hooks.0.interval': _steps,
}
_stages = dict(
    pretrain=dict(
        name='pretrain',
        config='mae/sapiens_tiny_synthetic-128x128',
        options={
            'train_cfg.max_iters': _pretrain_steps,
            'train_cfg.val_interval': _pretrain_steps,
            'param_scheduler.1.T_max': _pretrain_steps - 400,
            'param_scheduler.1.end': _pretrain_steps,
            'default_hooks.checkpoint.interval': _pretrain_steps,
            'custom_hooks.0.interval': _pretrain_steps,
        },
    ),
    pose=dict(name='pose', config='pose/sapiens_tiny_synthetic17-128x96', options=_length),
    seg=dict(name='seg', config='seg/sapiens_tiny_synthetic-128x96', options=_length),
    depth=dict(name='depth', config='depth/sapiens_tiny_synthetic-128x96', options=_length),
    normal=dict(name='normal', config='normal/sapiens_tiny_synthetic-128x96', options=_length),
)
# The same tasks from the encoder that the study pretrains.
_pretrained = {name: dict(stage, after='pretrain') for name, stage in _stages.items() if name != 'pretrain'}
seeds = [0, 1]
