# Finetuning of the dense tasks as released: linear to 0. Batch: 1 per GPU in the released configs, 2 in their launch scripts.
_base_ = '../default_runtime.py'

train_dataloader = dict(batch_size=1)
val_dataloader = dict(batch_size=1)
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=5e-4, betas=(0.9, 0.999), weight_decay=0.1),
    paramwise_cfg=dict(layer_decay_rate=0.85, no_decay=['pos_embed'], no_decay_1d=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=400),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=True, begin=0, end=200),
]
train_cfg = dict(type='TrainLoop', max_epochs=200, val_interval=1)
