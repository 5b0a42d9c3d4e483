"""All weights of the package on one encoder: 133 keypoints, parts, depth and normals of one person, and people in whole images.

Two of three steps have crops of rendered people with all labels: the encoder runs once for the four heads. The third step finds
people in images of 256x256. Data: single people in $DATA_ROOT/synthetic, several in $DATA_ROOT/several/synthetic.
Command: docs/weights.md.
"""

_base_ = ['../../_base_/datasets/photographs.py', './multi-128x96.py']

from sapiens.own_weights.photographs import before_photographs, with_photographs  # noqa: E402  (MMEngine needs _base_ first)
from sapiens.utils.join_tasks import join_tasks  # noqa: E402

_fields = ['sem_seg', 'depth', 'normal']
_size = (96, 128)
_whole = [
    dict(type='RandomResize', size=_size, ratio=(1.0, 1.25)),
    dict(type='RandomCrop', size=_size),
    dict(type='Resize', size=_size),
]
_crops = [
    dict(type='LoadLabels', fields=_fields, apart=True, classes='goliath28'),
    dict(type='CutByBorder', prob=0.2),
    dict(type='PhotometricDistortion', permute=False),
    dict(
        type='LoadDense',
        decode='fast',
        steps=[dict(type='PersonCrop', size=_size, prob=0.85, otherwise=_whole), dict(type='RandomFlip', prob=0.5)],
    ),
    dict(type='MovePerson', min_visible=4),
    dict(type='PackTasks', fields=_fields),
]

# The heads with their losses, and the evaluation of each, are those of the single recipes.
_several = '{{$DATA_ROOT:data}}/several/synthetic'
_heads = join_tasks(
    pose='pose/sapiens_tiny_free133-128x96',
    seg='seg/sapiens_tiny_free-128x96',
    depth='depth/sapiens_tiny_free-128x96',
    normal='normal/sapiens_tiny_free-128x96',
)
_person = join_tasks(person='person/sapiens_tiny_free-256x256')
_boxes = {split: _person[f'{split}_dataset']['datasets']['person'] for split in ('train', 'val')}
for _split, _dataset in _boxes.items():
    # With photographs the rendered people are the first of two datasets.
    _dataset.get('datasets', [_dataset])[0]['data_root'] = f'{_several}/{_split}'
_person['val_evaluator']['person'][0]['ann_file'] = f'{_several}/val/annotations/person_keypoints.json'

_labels = {name: dict(_heads['train_dataset']['datasets'][name]) for name in ('seg', 'depth', 'normal')}
for _dataset in _labels.values():
    del _dataset['pipeline']
_people = dict(
    type='JointDataset',
    dataset=dict(
        type='KeypointDataset',
        skeleton='wholebody133',
        data_root='{{$DATA_ROOT:data}}/synthetic/train',
        ann_file='annotations/coco_wholebody.json',
    ),
    labels=_labels,
    pipeline=before_photographs(dict(_base_, train_pipeline=_crops), labels='seg'),
)
_people = with_photographs(_people, _base_._people_photographs)

model = dict(
    _heads['model'],
    tasks=dict(**_heads['model']['tasks'], **_person['model']['tasks']),
    # The losses of depth have by far the smallest gradient in the encoder.
    loss_weights=dict(depth=4.0),
)
train_dataloader = dict(
    dataset=dict(type='MultiTaskDataset', datasets={'depth+normal+pose+seg': _people, 'person': _boxes['train']}),
    sampler=dict(turns={'depth+normal+pose+seg': 2}),
)
val_dataloader = test_dataloader = dict(
    dataset=dict(type='MultiTaskDataset', datasets=dict(**_heads['val_dataset']['datasets'], person=_boxes['val']))
)
val_evaluator = test_evaluator = dict(**_heads['val_evaluator'], **_person['val_evaluator'])
custom_hooks = []
del _split, _dataset
