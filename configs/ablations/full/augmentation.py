_base_ = ['../_base_/full.py', '../_base_/augmentation.py']

chain = [dict(name='pose', config='pose/sapiens_1b_coco-1024x768')]
variants = [
    dict(name='ours'),
    dict(name='published', config='pose/ablations/sapiens_1b_coco-1024x768_published-augmentation'),
    dict(name='no-colors', options={'pose:+train_dataloader.dataset.pipeline.3.prob': 0.0}),
]
