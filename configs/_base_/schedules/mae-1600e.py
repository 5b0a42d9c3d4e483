# Pretraining as released: 1.5e-4 per 256 images of the total batch, warm-up, cosine to 0.
_base_ = '../default_runtime.py'

train_dataloader = dict(batch_size=512)
val_dataloader = dict(batch_size=64)
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=1.5e-4, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(no_decay=['ln', 'bias', 'pos_embed', 'mask_token', 'cls_token']),
)
auto_scale_lr = dict(enable=True, base_batch_size=256)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=40, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=1560, by_epoch=True, begin=40, end=1600, convert_to_iter_based=True),
]
train_cfg = dict(type='TrainLoop', max_epochs=1600, val_interval=5)
