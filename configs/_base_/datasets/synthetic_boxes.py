# Rendered people with boxes, on disk. To render them, for train and, with another seed, for val:
#   sapiens render --out $DATA_ROOT/synthetic/train --num 10000 --people 1-6 --labels mask --seed 0
train_dataset = dict(
    type='PersonBoxDataset',
    data_root='{{$DATA_ROOT:data}}/synthetic/train',
    ann_file='annotations/person_keypoints.json',
)
val_dataset = dict(
    type='PersonBoxDataset',
    data_root='{{$DATA_ROOT:data}}/synthetic/val',
    ann_file='annotations/person_keypoints.json',
    test_mode=True,
)
metric = dict(type='BoxMetric', ann_file='{{$DATA_ROOT:data}}/synthetic/val/annotations/person_keypoints.json')
