"""Losses of normals: cosine and absolute errors, and the gradient term of the second generation."""

_losses = {
    'cosine-l1': [dict(type='NormalCosineLoss'), dict(type='NormalL1Loss')],
    'cosine': [dict(type='NormalCosineLoss')],
    'gradient': [
        dict(type='NormalCosineLoss', loss_weight=10.0),
        dict(type='NormalL1Loss', loss_weight=1.0),
        dict(type='NormalGradientLoss', loss_weight=10.0),
    ],
}
variants = [dict(name=name, options={'normal:model.losses': losses}) for name, losses in _losses.items()]
metrics = {'normal:mean': 'lower', 'normal:within_11.25': 'higher'}
checks = ['gradient.normal:mean < cosine-l1.normal:mean', 'cosine-l1.normal:mean < cosine.normal:mean']
