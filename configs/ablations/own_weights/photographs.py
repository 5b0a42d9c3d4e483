"""What brings rendered people nearer to photographs: each addition of configs/_base_/datasets/photographs.py alone, none and all.

Each variant is tested on held-out rendered people and on annotated people of photographs, so that one row has both scores. Data:
$DATA_ROOT/synthetic and $DATA_ROOT/backgrounds/train as for the weights of the package (docs/weights.md), and a folder
$DATA_ROOT/real with people_val.json (COCO, 17 keypoints) and images/.
"""

_base_ = '../_base_/mini.py'

_places = dict(
    cuts=1,
    backgrounds=6,
    objects=7,
    people=8,
    gray=9,
    tone=10,
    defocus=11,
    motion=12,
    resolution=13,
    noise=14,
    jpeg=15,
)
_real = '{{$DATA_ROOT:data}}/real'
chain = [
    _base_._stages['pretrain'],
    dict(_base_._pretrained['pose'], config='pose/sapiens_tiny_free17-128x96'),
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


variants = [
    dict(name='none', options=_without()),
    *(dict(name=name, options=_without(name)) for name in _places),
    dict(name='all'),
]
del _without
reference = 'none'
metrics = {'pose:AP': 'higher', 'pose-real:AP': 'higher', 'pose:val_loss': 'lower', 'pose-real:val_loss': 'lower'}
checks = ['all.pose-real:AP > none.pose-real:AP']
