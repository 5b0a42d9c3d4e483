_base_ = ['../_base_/mini.py', '../_base_/steps.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
_counts = [int(fraction * 2 * _base_._pretrain_steps) for fraction in _base_._fractions]
_pretrain = {
    'scratch': {'pose:load_from': None},
    **{
        f'steps-x{steps / _counts[-1]:g}': {
            f'pretrain:{key}': steps - _base_._pretrain_warm_up if key.endswith('T_max') else steps
            for key in _base_._pretrain_length
        }
        for steps in _counts
    },
}
variants = [
    dict(name=f'{name}_labels-{percent}', options={**options, **part})
    for name, options in _pretrain.items()
    for percent, part in _base_._labels.items()
]
