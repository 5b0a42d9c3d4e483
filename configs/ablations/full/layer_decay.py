_base_ = ['../_base_/full.py', '../_base_/layer_decay.py']

chain = [_base_._stages['pose']]
