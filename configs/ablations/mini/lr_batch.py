_base_ = ['../_base_/mini.py', '../_base_/lr_batch.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
# Half the steps for twice the batch.
_lengths = {batch: {f'pose:{key}': int(_base_._steps / batch) for key in _base_._length} for batch in _base_._factors}
variants = [
    dict(
        name=f'lr-x{lr:g}_batch-x{batch:g}',
        options={_base_._lr: 4e-3 * lr, _base_._batch: int(16 * batch), **_lengths[batch]},
    )
    for batch in _base_._factors
    for lr in _base_._factors
]
