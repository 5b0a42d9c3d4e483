_base_ = ['../_base_/mini.py', '../_base_/precision.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
variants = [
    dict(name=name, options={f'{stage}:optim_wrapper.precision': name for stage in ('pretrain', 'pose')})
    for name in ('fp32', 'bf16')
]
