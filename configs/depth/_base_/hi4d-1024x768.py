"""The recipe of renderpeople-1024x768.py, tested on Hi4D as published (docs/tasks/depth.md, "The published tables")."""

_base_ = ['./renderpeople-1024x768.py', '../../_base_/datasets/hi4d_depth.py']

test_dataloader = dict(dataset=dict(_delete_=True, pipeline=_base_.val_pipeline, **_base_.test_dataset))
test_evaluator = [_base_.test_metric]
