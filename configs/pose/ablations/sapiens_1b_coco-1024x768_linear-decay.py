# Linear decay of the learning rate to 0, as in the paper. The released config has steps at epochs 170 and 200.
_base_ = '../sapiens_1b_coco-1024x768.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=True, begin=0, end=210, convert_to_iter_based=True),
]
