_base_ = ['../_base_/full.py', '../_base_/losses_seg.py']

chain = [dict(name='seg', config='seg/sapiens_1b_goliath-1024x768')]
_ablations = 'seg/ablations/sapiens_1b_goliath-1024x768'
_configs = {
    'class-weights': None,
    'dice': f'{_ablations}_dice',
    'normalized-weights': f'{_ablations}_normalised-weights',
}
variants = [
    dict(name=one['name'], config=_configs[one['name']]) if one['name'] in _configs else one for one in _base_.variants
]
