"""How many of the samples of the detector are photographs of people: none, a twentieth, 30 % and 60 %, from the packed weights.

Each variant goes on from sapiens-tiny-person and is tested on held-out rendered people and on photographs. Data:
$DATA_ROOT/several/synthetic with several people in an image, $DATA_ROOT/synthetic/train with single ones to paste, and
$DATA_ROOT/backgrounds/train as for the weights of the package (docs/weights.md); $DATA_ROOT/real as in photographs.py.
"""

_base_ = '../_base_/mini.py'

_root = '{{$DATA_ROOT:data}}'
_rendered, _real = _root + '/several/synthetic', _root + '/real'
_steps = 300
_val = {f'{split}_dataloader.dataset.data_root': _rendered + '/val' for split in ('val', 'test')} | {
    f'{split}_evaluator.0.ann_file': _rendered + '/val/annotations/person_keypoints.json' for split in ('val', 'test')
}
chain = [
    dict(
        name='person',
        config='person/sapiens_tiny_free-256x256',
        options={
            **_base_._shared,
            **_val,
            'load_from': 'sapiens-tiny-person',
            'optim_wrapper.optimizer.lr': 1e-3,
            'param_scheduler.0.end': 50,
            'param_scheduler.1.begin': 50,
            **dict.fromkeys(_base_._length, _steps),
        },
    ),
    dict(
        name='person-real',
        command='test',
        after='person',
        options={
            **_base_._shared,
            'test_dataloader.dataset.data_root': _real,
            'test_dataloader.dataset.ann_file': 'people_val.json',
            '+test_dataloader.dataset.img_prefix': 'images',
            'test_evaluator.0.ann_file': _real + '/people_val.json',
        },
    ),
]
_config = {'person': 'person/ablations/sapiens_tiny_free-256x256_photographs'}
variants = [
    dict(name='none', options={'person:train_dataloader.dataset.data_root': _rendered + '/train'}),
    *(
        dict(
            name=f'photographs-{share:g}',
            config=_config,
            options={
                'person:train_dataloader.dataset.datasets.0.data_root': _rendered + '/train',
                'person:train_dataloader.dataset.weights': [1 - share, share],
            },
        )
        for share in (0.05, 0.3, 0.6)
    ),
]
reference = 'none'
metrics = {
    f'{stage}:{metric}': better
    for stage in ('person', 'person-real')
    for metric, better in {'AP': 'higher', 'AP .5': 'higher', 'recall 192+': 'higher', 'val_loss': 'lower'}.items()
}
checks = ['photographs-0.3.person-real:AP > none.person-real:AP']
