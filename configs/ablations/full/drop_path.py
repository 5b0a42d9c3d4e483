_base_ = ['../_base_/full.py', '../_base_/drop_path.py']

chain = [_base_._stages['pose']]
