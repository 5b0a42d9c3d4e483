_base_ = ['../_base_/full.py', '../_base_/mask_ratio.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose'], _base_._pretrained['seg'], _base_._test]
# Blocks of 4x4 patches (64 pixels), in a grid of 64x64.
variants = [
    dict(one, options={**one['options'], _base_._block: 4}) if one['name'].startswith('block') else one
    for one in _base_.variants
]
