# Finetuning on a few hundred to some ten thousand own samples, on one or a few GPUs (`sapiens new`): counted in iterations, small
# batches, a fifth of the rate of the published recipes, whose total batches are 64 (dense) to 512 (pose), linear to 0.
_base_ = '../default_runtime.py'

train_dataloader = dict(batch_size=8)
val_dataloader = dict(batch_size=8)
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    paramwise_cfg=dict(layer_decay_rate=0.85, no_decay=['pos_embed'], no_decay_1d=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=200),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=200, end=10000),
]
train_cfg = dict(type='TrainLoop', max_iters=10000, val_interval=500)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500))
log_processor = dict(by_epoch=False)
