"""What brings rendered people nearer to photographs: each addition of configs/_base_/datasets/photographs.py alone, none and all;
held objects; backgrounds without their colors on people, and with all of them; photographs of people among the rendered ones,
alone and with all (5 % and 20 % of the samples); all for twice as long.

Each variant is tested on held-out rendered people and on annotated people of photographs, so that one row has both scores. Data:
$DATA_ROOT/synthetic and $DATA_ROOT/backgrounds/train as for the weights of the package (docs/weights.md), and a folder
$DATA_ROOT/real with people_val.json to test on, people_train_free.json to train on (COCO, 17 keypoints) and images/.
"""

_base_ = '../_base_/mini.py'

_places = dict(
    cuts=1,
    backgrounds=6,
    objects=7,
    pasted=8,
    gray=9,
    tone=10,
    defocus=11,
    motion=12,
    resolution=13,
    noise=14,
    jpeg=15,
)
_real = '{{$DATA_ROOT:data}}/real'
# A model that has learned keypoints from rendered people alone, from which each variant goes on at a lower learning rate. It is
# not pretrained: runs of this length do not gain by it (docs/log/experiments.md).
_learn, _more = 2500, 600


def _length(iterations, warm_up):
    ends = dict.fromkeys(_base_._length, iterations)
    return {'param_scheduler.0.end': warm_up, 'param_scheduler.1.begin': warm_up, **ends}


chain = [
    dict(_base_._stages['pose'], name='learn', options={**_base_._shared, **_length(_learn, 200)}),
    dict(
        name='pose',
        config='pose/sapiens_tiny_free17-128x96',
        after='learn',
        options={**_base_._shared, **_length(_more, 100), 'optim_wrapper.optimizer.lr': 1e-3},
    ),
    dict(
        name='pose-real',
        command='test',
        after='pose',
        options={
            'test_dataloader.dataset.data_root': _real,
            'test_dataloader.dataset.ann_file': 'people_val.json',
            '+test_dataloader.dataset.img_prefix': 'images',
            'test_evaluator.0.ann_file': _real + '/people_val.json',
        },
    ),
]


def _without(*kept):
    return {
        f'pose:train_dataloader.dataset.pipeline.{place}.prob': 0.0
        for name, place in _places.items()
        if name not in kept
    }


# How far the colors of people move to the statistics of those behind them; 0.3 in `backgrounds` and `all`.
_style = f'pose:train_dataloader.dataset.pipeline.{_places["backgrounds"]}.color_transfer'
_with_people = 'pose/ablations/sapiens_tiny_free17-128x96_photographs'
variants = [
    dict(name='none', options=_without()),
    *(dict(name=name, options=_without(name)) for name in _places),
    dict(
        name='held',
        options=_without('objects')
        | {f'pose:train_dataloader.dataset.pipeline.{_places["objects"]}.type': 'HoldObjects'},
    ),
    *(
        dict(name=name, options=_without('backgrounds') | {_style: strength})
        for name, strength in (('backgrounds-no-style', 0.0), ('backgrounds-style', 1.0))
    ),
    dict(name='all'),
    dict(name='people', config={'pose': _with_people}, options=_without()),
    dict(name='all-people', config={'pose': _with_people}),
    dict(
        name='all-people-20',
        config={'pose': _with_people},
        options={'pose:train_dataloader.dataset.weights': [0.8, 0.2]},
    ),
    dict(name='all-longer', options={f'pose:{key}': value for key, value in _length(2 * _more, 100).items()}),
]
del _length, _without
reference = 'none'
metrics = {
    f'{stage}:{metric}': better
    for stage in ('pose', 'pose-real')
    for metric, better in {'PCK@0.1': 'higher', 'AP': 'higher', 'val_loss': 'lower'}.items()
}
checks = ['all.pose-real:PCK@0.1 > none.pose-real:PCK@0.1']
