_base_ = ['../_base_/full.py', '../_base_/losses_normal.py']

chain = [dict(name='normal', config='normal/sapiens_1b_renderpeople-1024x768')]
_configs = {
    'cosine-l1': None,
    'gradient': 'normal/ablations/sapiens_1b_renderpeople-1024x768_gradient-loss',
}
variants = [
    dict(name=one['name'], config=_configs[one['name']]) if one['name'] in _configs else one for one in _base_.variants
]
