# Finetuning of Sapiens2 as published: counted in iterations, 500 of warm-up, then linear to 0. The layer decay, the largest norm
# of gradients and the batch depend on the size. Unlike the published optimizer, this one does not decay the class and storage
# tokens (docs/differences.md).
_base_ = '../default_runtime.py'

train_dataloader = dict(batch_size=8)
val_dataloader = dict(batch_size=8)
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=5e-4, betas=(0.9, 0.999), weight_decay=0.1),
    paramwise_cfg=dict(no_decay=['pos_embed', 'cls_token', 'storage_tokens', 'w_cls'], no_decay_1d=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=501),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=500),
]
train_cfg = dict(type='TrainLoop', max_iters=20000, val_interval=1000)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1000))
log_processor = dict(by_epoch=False)
