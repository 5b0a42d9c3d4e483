_base_ = ['../sapiens_1b_goliath-1024x768.py', '../../_base_/datasets/wholebody_for_308.py']

# Only `sapiens test` differs. Training and validation stay those of the leaf.
test_dataloader = dict(dataset=dict(_delete_=True, pipeline=_base_.val_pipeline, **_base_.test_dataset))
test_evaluator = [_base_.test_metric]
