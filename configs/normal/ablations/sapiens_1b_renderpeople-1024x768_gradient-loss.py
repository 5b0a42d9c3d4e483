# The weights of the second generation, with its comparison of neighbouring pixels.
_base_ = '../sapiens_1b_renderpeople-1024x768.py'

model = dict(
    losses=[
        dict(type='NormalCosineLoss', loss_weight=10.0),
        dict(type='NormalL1Loss', loss_weight=1.0),
        dict(type='NormalGradientLoss', loss_weight=10.0),
    ]
)
