# Rendered people with 133 keypoints, on disk. To render them, for train and, with another seed, for val:
#   sapiens render --out $DATA_ROOT/synthetic/train --num 10000 --labels mask --seed 0
skeleton = 'wholebody133'
train_dataset = dict(
    type='KeypointDataset',
    skeleton=skeleton,
    data_root='{{$DATA_ROOT:data}}/synthetic/train',
    ann_file='annotations/coco_wholebody.json',
)
val_dataset = dict(
    type='KeypointDataset',
    skeleton=skeleton,
    data_root='{{$DATA_ROOT:data}}/synthetic/val',
    ann_file='annotations/coco_wholebody.json',
    test_mode=True,
)
metric = dict(
    type='KeypointMetric',
    skeleton=skeleton,
    ann_file='{{$DATA_ROOT:data}}/synthetic/val/annotations/coco_wholebody.json',
)
