_base_ = ['../_base_/full.py', '../_base_/ema.py']

chain = [_base_._stages['pose']]
