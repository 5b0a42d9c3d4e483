# Finetuning for pose as released: steps at epochs 170 and 200. Batch: 64 per GPU in the released configs, 4 in their scripts.
_base_ = '../default_runtime.py'

train_dataloader = dict(batch_size=64)
val_dataloader = dict(batch_size=32)
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=5e-4, betas=(0.9, 0.999), weight_decay=0.1),
    paramwise_cfg=dict(layer_decay_rate=0.85, no_decay=['pos_embed'], no_decay_1d=True),
)
auto_scale_lr = dict(enable=False, base_batch_size=512)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=210, milestones=[170, 200], gamma=0.1),
]
train_cfg = dict(type='TrainLoop', max_epochs=210, val_interval=1)
