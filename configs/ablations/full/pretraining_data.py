_base_ = ['../_base_/full.py', '../_base_/pretraining_data.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose'], _base_._pretrained['seg']]
