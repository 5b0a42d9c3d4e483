_base_ = ['../_base_/mini.py', '../_base_/loss_stride.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['seg'], _base_._pretrained['normal']]
