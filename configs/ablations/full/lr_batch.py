_base_ = ['../_base_/full.py', '../_base_/lr_batch.py']

chain = [_base_._stages['pose']]
variants = [
    dict(name=f'lr-x{lr:g}_batch-x{batch:g}', options={_base_._lr: 5e-4 * lr, _base_._batch: int(64 * batch)})
    for batch in _base_._factors
    for lr in _base_._factors
]
