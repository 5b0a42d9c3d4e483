# The loss weights of the second generation, with its gradient loss.
_base_ = '../sapiens_1b_renderpeople-1024x768.py'

model = dict(
    losses=[
        dict(type='NormalCosineLoss', loss_weight=10.0),
        dict(type='NormalL1Loss', loss_weight=1.0),
        dict(type='NormalGradientLoss', loss_weight=10.0),
    ]
)
