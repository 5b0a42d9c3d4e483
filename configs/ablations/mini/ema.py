_base_ = ['../_base_/mini.py', '../_base_/ema.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
