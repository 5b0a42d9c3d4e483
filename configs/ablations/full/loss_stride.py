_base_ = ['../_base_/full.py', '../_base_/loss_stride.py']

chain = [_base_._stages['seg'], _base_._stages['normal']]
