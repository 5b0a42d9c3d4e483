# COCO's 17 keypoints (data/README.md). Validation is in detected boxes, as published (a detector with a person AP of 70.x on
# val2017). In ground-truth boxes: --cfg-options val_dataloader.dataset.boxes=gt test_dataloader.dataset.boxes=gt
skeleton = 'coco17'
train_dataset = dict(
    type='KeypointDataset',
    skeleton=skeleton,
    data_root='{{$DATA_ROOT:data}}/coco',
    ann_file='annotations/person_keypoints_train2017.json',
    img_prefix='train2017',
)
val_dataset = dict(
    type='KeypointDataset',
    skeleton=skeleton,
    data_root='{{$DATA_ROOT:data}}/coco',
    ann_file='annotations/person_keypoints_val2017.json',
    img_prefix='val2017',
    boxes='person_detection_results/COCO_val2017_detections_AP_H_70_person.json',
    test_mode=True,
)
metric = dict(
    type='KeypointMetric',
    skeleton=skeleton,
    ann_file='{{$DATA_ROOT:data}}/coco/annotations/person_keypoints_val2017.json',
)
