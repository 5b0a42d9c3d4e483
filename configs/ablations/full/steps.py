_base_ = ['../_base_/full.py', '../_base_/steps.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
_pretrain = {
    'scratch': {'pose:load_from': None},
    **{
        f'steps-x{epochs / 1600:g}': {
            'pretrain:train_cfg.max_epochs': epochs,
            'pretrain:param_scheduler.1.T_max': epochs - 40,
            'pretrain:param_scheduler.1.end': epochs,
        }
        for epochs in (200, 400, 800, 1600)
    },
}
_repeats = {
    percent: {} if percent == 100 else {f'pose:{_base_._repeat}': 100 // percent} for percent in _base_._percents
}
variants = [
    dict(name=f'{name}_labels-{percent}', options={**options, **part, **_repeats[percent]})
    for name, options in _pretrain.items()
    for percent, part in _base_._labels.items()
]
