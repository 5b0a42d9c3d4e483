# Rendered people with 17 keypoints, on disk. To render them, for train and, with another seed, for val:
#   sapiens render --out $DATA_ROOT/synthetic/train --num 10000 --labels mask --seed 0
skeleton = 'coco17'
train_dataset = dict(
    type='KeypointDataset',
    skeleton=skeleton,
    data_root='{{$DATA_ROOT:data}}/synthetic/train',
    ann_file='annotations/person_keypoints.json',
)
val_dataset = dict(
    type='KeypointDataset',
    skeleton=skeleton,
    data_root='{{$DATA_ROOT:data}}/synthetic/val',
    ann_file='annotations/person_keypoints.json',
    test_mode=True,
)
metric = dict(
    type='KeypointMetric',
    skeleton=skeleton,
    ann_file='{{$DATA_ROOT:data}}/synthetic/val/annotations/person_keypoints.json',
)
