_base_ = ['../_base_/full.py', '../_base_/precision.py']

chain = [_base_._stages['pose']]
variants = [dict(name=name, options={'pose:optim_wrapper.precision': name}) for name in ('fp32', 'bf16')]
