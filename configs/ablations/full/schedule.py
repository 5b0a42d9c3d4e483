_base_ = ['../_base_/full.py', '../_base_/schedule.py']

chain = [dict(name='pose', config='pose/sapiens_1b_coco-1024x768')]
_cosine = dict(
    type='CosineAnnealingLR', eta_min=0.0, T_max=210, by_epoch=True, begin=0, end=210, convert_to_iter_based=True
)
variants = [
    dict(name='linear', config='pose/ablations/sapiens_1b_coco-1024x768_linear-decay'),
    dict(name='cosine', options={'pose:param_scheduler.1': _cosine}),
    dict(name='step'),
]
