_base_ = ['../_base_/mini.py', '../_base_/losses_seg.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['seg']]
