# No random backgrounds.
_base_ = '../sapiens_1b_renderpeople-1024x768.py'

train_pipeline = [step for step in _base_.train_pipeline if step['type'] != 'RandomBackground']
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
