# Tests of models with 308 keypoints on COCO-WholeBody (data/README.md): the 53 keypoints of both skeletons, in detected boxes. As
# published, the other 80 count as wrong: --cfg-options test_evaluator.0.missing=wrong
test_dataset = dict(
    type='KeypointDataset',
    skeleton='goliath308',
    source_skeleton='wholebody133',
    data_root='{{$DATA_ROOT:data}}/coco',
    ann_file='annotations/coco_wholebody_val_v1.0.json',
    img_prefix='val2017',
    boxes='person_detection_results/COCO_val2017_detections_AP_H_70_person.json',
    test_mode=True,
)
test_metric = dict(
    type='KeypointMetric',
    skeleton='goliath308',
    ann_file='{{$DATA_ROOT:data}}/coco/annotations/coco_wholebody_val_v1.0.json',
    common_with='wholebody133',
    common_names='published',
    missing='skip',
)
