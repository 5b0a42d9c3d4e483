_base_ = ['../_base_/mini.py', '../_base_/mask_ratio.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose'], _base_._pretrained['seg'], _base_._test]
