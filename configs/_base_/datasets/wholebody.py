# COCO-WholeBody's 133 keypoints on COCO's images (data/README.md). Validation is in detected boxes, as published. In ground-truth
# boxes: --cfg-options val_dataloader.dataset.boxes=gt test_dataloader.dataset.boxes=gt
skeleton = 'wholebody133'
train_dataset = dict(
    type='KeypointDataset',
    skeleton=skeleton,
    data_root='{{$DATA_ROOT:data}}/coco',
    ann_file='annotations/coco_wholebody_train_v1.0.json',
    img_prefix='train2017',
)
val_dataset = dict(
    type='KeypointDataset',
    skeleton=skeleton,
    data_root='{{$DATA_ROOT:data}}/coco',
    ann_file='annotations/coco_wholebody_val_v1.0.json',
    img_prefix='val2017',
    boxes='person_detection_results/COCO_val2017_detections_AP_H_70_person.json',
    test_mode=True,
)
metric = dict(
    type='KeypointMetric',
    skeleton=skeleton,
    ann_file='{{$DATA_ROOT:data}}/coco/annotations/coco_wholebody_val_v1.0.json',
)
