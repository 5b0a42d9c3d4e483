"""Layer-wise decay of the learning rate while a pretrained pose model is finetuned. The paper finetunes with 0.85."""

variants = [
    dict(name=f'decay-{rate}', options={'pose:optim_wrapper.paramwise_cfg.layer_decay_rate': rate})
    for rate in (1.0, 0.95, 0.85, 0.75)
]
metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower'}
checks = ['decay-0.85.pose:AP > decay-1.0.pose:AP', 'decay-0.85.pose:val_loss < decay-1.0.pose:val_loss']
