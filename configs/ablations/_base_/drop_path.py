"""Stochastic depth in the encoder while pose is finetuned."""

variants = [
    dict(name=f'drop-{rate}', options={'pose:model.backbone.drop_path_rate': rate}) for rate in (0.0, 0.1, 0.2, 0.3)
]
metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower'}
checks = ['drop-0.1.pose:AP > drop-0.0.pose:AP']
