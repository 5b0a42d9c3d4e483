_base_ = ['../_base_/mini.py', '../_base_/layer_decay.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
