_base_ = ['../_base_/full.py', '../_base_/losses_depth.py']

chain = [dict(name='depth', config='depth/sapiens_1b_renderpeople-1024x768')]
_ablations = 'depth/ablations/sapiens_1b_renderpeople-1024x768'
_configs = {
    'silog': None,
    'published-silog': f'{_ablations}_published-silog',
    'scale-shift-invariant': f'{_ablations}_scale-shift-invariant',
}
variants = [
    dict(name=one['name'], config=_configs[one['name']]) if one['name'] in _configs else one for one in _base_.variants
]
