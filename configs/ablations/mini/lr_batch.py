_base_ = ['../_base_/mini.py', '../_base_/lr_batch.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
# Half the steps for twice the batch.
_steps = {
    batch: {
        f'pose:{key}': int(value / batch) if key != 'param_scheduler.1.end' else int(_base_._steps / batch)
        for key, value in _base_._length.items()
    }
    for batch in _base_._factors
}
variants = [
    dict(
        name=f'lr-x{lr:g}_batch-x{batch:g}',
        options={_base_._lr: 4e-3 * lr, _base_._batch: int(16 * batch), **_steps[batch]},
    )
    for batch in _base_._factors
    for lr in _base_._factors
]
