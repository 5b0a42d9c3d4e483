# Finetuning of the tiny model on two CPU cores: small batches, which learn more per sample in short runs; a learning rate that is
# high for the new head and decays towards the pretrained patches; linear to 0; and an average of the weights, for meaningful
# evaluations during the run.
_base_ = '../default_runtime.py'

train_dataloader = dict(batch_size=16, num_workers=1)
val_dataloader = dict(batch_size=32, num_workers=1)
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=4e-3, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(layer_decay_rate=0.75, no_decay=['pos_embed'], no_decay_1d=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=200),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=200, end=5000),
]
train_cfg = dict(type='TrainLoop', max_iters=5000, val_interval=500)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=500),
    # Averages about the last tenth of the run so far, at most 500 iterations.
    ema=dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=0.002, gamma=10),
)
log_processor = dict(by_epoch=False)
