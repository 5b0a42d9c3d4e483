_base_ = ['../_base_/mini.py', '../_base_/steps.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
_steps = (1000, 2000, 4000, 8000)
_pretrain = {
    'scratch': {'pose:load_from': None},
    **{
        f'steps-x{steps / 8000:g}': {
            'pretrain:train_cfg.max_iters': steps,
            'pretrain:train_cfg.val_interval': steps,
            'pretrain:param_scheduler.1.T_max': steps - 400,
            'pretrain:param_scheduler.1.end': steps,
            'pretrain:default_hooks.checkpoint.interval': steps,
            'pretrain:custom_hooks.0.interval': steps,
        }
        for steps in _steps
    },
}
variants = [
    dict(name=f'{name}_labels-{percent}', options={**options, _base_._part: (0.0, percent / 100)})
    for name, options in _pretrain.items()
    for percent in (100, 10, 1)
]
checks = ['steps-x1_labels-100.pose:AP > steps-x0.125_labels-100.pose:AP']
