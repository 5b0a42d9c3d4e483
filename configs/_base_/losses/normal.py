# Losses of normals, by name: cosine and absolute errors, and the gradient term of the second generation.
_losses = {
    'cosine-l1': [dict(type='NormalCosineLoss'), dict(type='NormalL1Loss')],
    'cosine': [dict(type='NormalCosineLoss')],
    'gradient': [
        dict(type='NormalCosineLoss', loss_weight=10.0),
        dict(type='NormalL1Loss', loss_weight=1.0),
        dict(type='NormalGradientLoss', loss_weight=10.0),
    ],
}
