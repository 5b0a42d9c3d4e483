# 308 keypoints in COCO's format, `keypoints` with 924 numbers or Goliath's `goliath_wholebody_kpts`. The published Goliath is
# not public: use your own images (data/README.md) or synthetic308.py. Boxes are ground truth.
skeleton = 'goliath308'
train_dataset = dict(
    type='KeypointDataset',
    skeleton=skeleton,
    data_root='{{$DATA_ROOT:data}}/goliath',
    ann_file='train/annotations/person_keypoints_train.json',
    img_prefix='train/images',
)
val_dataset = dict(
    type='KeypointDataset',
    skeleton=skeleton,
    data_root='{{$DATA_ROOT:data}}/goliath',
    ann_file='test_5000/annotations/person_keypoints_test2023.json',
    img_prefix='test_5000/images',
    test_mode=True,
)
metric = dict(
    type='KeypointMetric',
    skeleton=skeleton,
    ann_file='{{$DATA_ROOT:data}}/goliath/test_5000/annotations/person_keypoints_test2023.json',
)
